"""The layers of a convolutional network, as a description that any kind of arithmetic can compute.

A network is a tuple of layers, computed one after another. Nothing here is a tensor: float training makes torch modules
of the same description as integer training makes its products of, and a cost model counts by it. Layers have no bias,
as in the networks that NITI published; `BatchNorm` has a scale and an offset, and only floats can compute it.

Sizes: C channels, H height, W width; a kernel, its stride and its padding are (along the height, along the width).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from fedlab.common.arrays import Shape

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Conv:
    """A convolution without bias; its weight is [outputs, inputs, kernel height, kernel width]."""

    inputs: int  # channels
    outputs: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A matrix without bias; its weight is [outputs, inputs]."""

    inputs: int
    outputs: int


@dataclass(frozen=True, kw_only=True)
class Relu:
    """What is negative becomes 0."""


@dataclass(frozen=True, kw_only=True)
class MaxPool:
    """The largest of each window; padding is never the largest."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True, kw_only=True)
class AveragePool:
    """The mean of each window, padding counted as 0; without a kernel the mean over the whole height and width."""

    kernel: Pair | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """Normalise each channel over the batch, then scale and shift it by two trained vectors [channels]."""

    channels: int


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """(C, H, W) becomes (C * H * W,)."""


@dataclass(frozen=True, kw_only=True)
class DropoutLayer:
    """In training a value becomes 0 with this probability, and the others are divided by 1 - probability."""

    probability: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Residual:
    """The sum of two ways from the same input; an empty shortcut is the input itself."""

    body: "tuple[Layer, ...]"
    shortcut: "tuple[Layer, ...]" = ()


@dataclass(frozen=True, kw_only=True)
class Branches:
    """Several ways from the same input, whose channels are put one behind another."""

    ways: "tuple[tuple[Layer, ...], ...]"


Layer = Conv | Linear | Relu | MaxPool | AveragePool | BatchNorm | Flatten | DropoutLayer | Residual | Branches


def shape_after(layers: Sequence[Layer], shape: Shape) -> Shape:
    """Return the shape of an example behind the layers. Raises ValueError, with the layer, where one does not fit."""
    for layer in layers:
        shape = _after(layer, shape)
    return shape


def _after(layer: Layer, shape: Shape) -> Shape:
    match layer:
        case Relu() | DropoutLayer():
            return shape
        case Flatten():
            return (prod(shape),)
        case Residual() | Branches():
            return _behind_ways(layer, shape)
        case Linear():
            _check(layer, shape == (layer.inputs,), shape)
            return (layer.outputs,)
    return _behind_window(layer, shape)


def _behind_ways(layer: Residual | Branches, shape: Shape) -> Shape:
    ways = (layer.body, layer.shortcut) if isinstance(layer, Residual) else layer.ways
    ends = [shape_after(way, shape) for way in ways]
    if isinstance(layer, Residual):
        _check(layer, ends[0] == ends[1], shape)
        return ends[0]
    _check(layer, len({end[1:] for end in ends}) == 1, shape)
    return (sum(end[0] for end in ends), *ends[0][1:])


def _behind_window(layer: Conv | MaxPool | AveragePool | BatchNorm, shape: Shape) -> Shape:
    _check(layer, len(shape) == 3, shape)
    match layer:
        case BatchNorm():
            _check(layer, shape[0] == layer.channels, shape)
            return shape
        case Conv():
            _check(layer, shape[0] == layer.inputs, shape)
            return _window(layer, layer.outputs, layer.kernel, shape)
    return _window(layer, shape[0], layer.kernel or (shape[1], shape[2]), shape)


def _window(layer: Conv | MaxPool | AveragePool, channels: int, kernel: Pair, shape: Shape) -> Shape:
    sizes = tuple(
        (size + 2 * padding - extent) // stride + 1
        for size, extent, stride, padding in zip(shape[1:], kernel, layer.stride, layer.padding, strict=True)
    )
    _check(layer, min(sizes) > 0, shape)
    return (channels, *sizes)


def _check(layer: Layer, fits: bool, shape: Shape) -> None:
    if not fits:
        raise ValueError(f"{layer} does not accept an example of shape {shape}")


def weight_shapes(layers: Sequence[Layer]) -> dict[str, Shape]:
    """Return the shapes of the trained tensors by name, in the order of the layers.

    A name is where its layer stands: "3.weight" is of the fourth layer, "4.body.0.weight" of the first one in the body
    of the fifth, "4.shortcut.0.weight" in its shortcut, and "7.ways.1.0.weight" in the second of several ways.
    """
    return {f"{place}.{name}": shape for place, layer in placed(layers) for name, shape in _trained(layer).items()}


def placed(layers: Sequence[Layer], before: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield all layers with their places, those within other layers behind these."""
    for index, layer in enumerate(layers):
        place = f"{before}{index}"
        yield place, layer
        if isinstance(layer, Residual):
            yield from placed(layer.body, f"{place}.body.")
            yield from placed(layer.shortcut, f"{place}.shortcut.")
        elif isinstance(layer, Branches):
            for number, way in enumerate(layer.ways):
                yield from placed(way, f"{place}.ways.{number}.")


def _trained(layer: Layer) -> dict[str, Shape]:
    match layer:
        case Conv():
            return {"weight": (layer.outputs, layer.inputs, *layer.kernel)}
        case Linear():
            return {"weight": (layer.outputs, layer.inputs)}
        case BatchNorm():
            return {"weight": (layer.channels,), "bias": (layer.channels,)}
    return {}
