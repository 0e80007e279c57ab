"""The layers of a convolutional network, as far as its cost depends on them. All counts are those of one sample."""

from dataclasses import dataclass
from typing import Literal, get_args

from fedlab.errors import UserError
from fedlab.workload.checks import check_choice, check_whole

LayerKind = Literal["convolution", "depthwise", "linear", "norm", "activation", "pool", "add", "concat"]

PRODUCTS: tuple[LayerKind, ...] = ("convolution", "depthwise", "linear")  # layers that multiply by weights
_COUNTS = ("macs", "parameters", "inputs", "outputs", "unfolded", "channels")


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """A layer: multiply-adds, trained values, and the elements that it reads and writes.

    `unfolded` are the elements of its input unfolded into a matrix, kernel positions times output positions, which a
    convolution is a product of; those of its input for other layers. `channels` are those of its output, `kernel` the
    larger side of its window and `stride` the step of it.
    """

    name: str
    kind: LayerKind
    macs: int = 0
    parameters: int = 0
    inputs: int
    outputs: int
    unfolded: int
    channels: int
    kernel: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        check_choice(f"layer {self.name}: kind", self.kind, get_args(LayerKind))
        for name in _COUNTS:
            check_whole(f"layer {self.name}: {name}", getattr(self, name), least=0, most=10**12)

    @property
    def is_product(self) -> bool:
        """Whether it multiplies by weights; such layers are the blocks of a network."""
        return self.kind in PRODUCTS


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """The sizes of a convolutional network that its cost depends on: its layers, in the order in which they run."""

    name: str
    input_shape: tuple[int, int, int]  # channels, height, width
    labels: int
    layers: tuple[LayerCost, ...]
    family: Literal["cnn"] = "cnn"

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        if not any(layer.is_product for layer in self.layers):
            raise UserError(f"workload: the network {self.name} has no layer with weights, expected at least one")

    @property
    def blocks(self) -> int:
        """Return the number of layers with weights to multiply by: what a pass counts as blocks."""
        return sum(layer.is_product for layer in self.layers)

    @property
    def is_decoder(self) -> bool:
        """Whether it predicts the next token: never."""
        return False

    @property
    def convolutions(self) -> int:
        """Return the number of convolutions."""
        return sum(layer.kind in ("convolution", "depthwise") for layer in self.layers)

    @property
    def macs(self) -> int:
        """Return the multiply-adds of a forward pass of one sample."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Return the number of trained values."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def activations(self) -> int:
        """Return the elements that all layers write for one sample."""
        return sum(layer.outputs for layer in self.layers)
