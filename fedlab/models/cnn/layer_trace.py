"""A trace through a network that is being described: the size of the state, and the layers so far."""

from dataclasses import dataclass, field
from math import prod

from fedlab.errors import UserError
from fedlab.workload.conv_shape import ConvShape, LayerCost, LayerKind

State = tuple[int, int, int]  # channels, height, width
Window = int | tuple[int, int]
Padding = Window | str
SAME = "same"  # padding with which a step of 1 keeps the size, and a step of 2 halves it, rounded up


@dataclass(kw_only=True)
class LayerTrace:
    """Follows a state of `state` elements through layers. `biases` are of products that no normalisation follows."""

    state: State
    biases: bool = True
    norms: bool = False
    layers: list[LayerCost] = field(default_factory=list)

    def conv(self, channels: int, kernel: Window, stride: int = 1, padding: Padding = 0, *, groups: int = 1) -> None:
        """Add a convolution."""
        before, sides = self.state, _sides(kernel)
        self.state = (channels, *_resized(before, sides, stride, padding))
        positions = self.state[1] * self.state[2]
        weights = channels * before[0] // groups * prod(sides)
        kind: LayerKind = "depthwise" if groups == before[0] > 1 else "convolution"
        self._add(
            kind, before, macs=weights * positions, parameters=weights + self._biases(channels),
            unfolded=before[0] * prod(sides) * positions, kernel=max(sides), stride=stride,
        )  # fmt: skip

    def linear(self, labels: int) -> None:
        """Add a linear layer, which reads all of the state."""
        before = self.state
        self.state = (labels, 1, 1)
        weights = prod(before) * labels
        biases = labels if self.biases else 0
        self._add("linear", before, macs=weights, parameters=weights + biases, unfolded=prod(before))

    def norm(self) -> None:
        """Add a normalisation with a scale and a shift for each channel, where the network has them."""
        if self.norms:
            self._add("norm", self.state, parameters=2 * self.state[0])

    def relu(self) -> None:
        """Add an activation function."""
        self._add("activation", self.state)

    def conv_relu(
        self, channels: int, kernel: Window, stride: int = 1, padding: Padding = 0, *, groups: int = 1
    ) -> None:
        """Add a convolution, its normalisation if the network has them, and an activation."""
        self.conv(channels, kernel, stride, padding, groups=groups)
        self.norm()
        self.relu()

    def pool(self, kernel: Window, stride: int, padding: Padding = 0) -> None:
        """Add a pooling of windows; it is left out where the state is smaller than a window."""
        before, sides = self.state, _sides(kernel)
        if padding == 0 and (before[1] < sides[0] or before[2] < sides[1]):
            return
        self.state = (before[0], *_resized(before, sides, stride, padding))
        self._add("pool", before, kernel=max(sides), stride=stride)

    def pool_all(self) -> None:
        """Add a pooling of all positions."""
        before = self.state
        self.state = (before[0], 1, 1)
        self._add("pool", before, kernel=max(before[1:]))

    def add(self) -> None:
        """Add the sum of two states of the same size."""
        self._add("add", self.state)

    def concat(self, channels: int) -> None:
        """Add the concatenation of states into one of `channels`."""
        self.state = (channels, *self.state[1:])
        self._add("concat", self.state)

    def shape(self, name: str, input_shape: State) -> ConvShape:
        """Return the network that was followed; its last layer has the labels."""
        return ConvShape(name=name, input_shape=input_shape, labels=prod(self.state), layers=tuple(self.layers))

    def _biases(self, channels: int) -> int:
        return channels if self.biases and not self.norms else 0

    def _add(
        self, kind: LayerKind, before: State, *, macs: int = 0, parameters: int = 0, unfolded: int | None = None,
        kernel: int = 1, stride: int = 1,
    ) -> None:  # fmt: skip
        inputs = prod(before)
        self.layers.append(
            LayerCost(
                name=f"{len(self.layers)}-{kind}",
                kind=kind,
                macs=macs,
                parameters=parameters,
                inputs=inputs,
                outputs=prod(self.state),
                unfolded=inputs if unfolded is None else unfolded,
                channels=self.state[0],
                kernel=kernel,
                stride=stride,
            )
        )


def _sides(window: Window) -> tuple[int, int]:
    return (window, window) if isinstance(window, int) else window


def _resized(state: State, sides: tuple[int, int], stride: int, padding: Padding) -> tuple[int, int]:
    """Return height and width after windows of `sides`. Raises UserError where no window fits."""
    if padding == SAME:
        return -(-state[1] // stride), -(-state[2] // stride)
    assert not isinstance(padding, str), "SAME is the one word"
    added = _sides(padding)
    height, width = (
        (size + 2 * more - side) // stride + 1 for size, side, more in zip(state[1:], sides, added, strict=True)
    )
    if height < 1 or width < 1:
        raise UserError(
            f"workload: a window of {sides[0]} x {sides[1]} does not fit a state of {state[1]} x {state[2]}, "
            "expected larger images"
        )
    return height, width
