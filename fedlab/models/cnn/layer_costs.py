"""The layers of a network as a cost model counts them: products, weights, and the elements read and written."""

from collections.abc import Iterator, Sequence
from math import prod

from fedlab.common.arrays import Shape
from fedlab.models.cnn import layers as described
from fedlab.models.cnn.layers import Conv, Linear, shape_after
from fedlab.workload.conv_shape import LayerCost, LayerKind

_KINDS: dict[type, LayerKind] = {
    described.Conv: "convolution",
    described.Linear: "linear",
    described.BatchNorm: "norm",
    described.Relu: "activation",
    described.MaxPool: "pool",
    described.AveragePool: "pool",
}
_Step = tuple[described.Layer | LayerKind, Shape, Shape]  # with the shapes before and behind it


def layer_costs(layers: Sequence[described.Layer], input_shape: Shape) -> tuple[LayerCost, ...]:
    """Return the layers that cost something, in the order in which they run; dropout and flattening are none of them.

    All counts are those of one image. Raises ValueError where an image does not fit.
    """
    return tuple(_counted(number, *step) for number, step in enumerate(_steps(layers, input_shape)))


def _steps(layers: Sequence[described.Layer], shape: Shape) -> Iterator[_Step]:
    for layer in layers:
        behind = shape_after((layer,), shape)
        match layer:
            case described.Residual():
                yield from _steps(layer.body, shape)
                yield from _steps(layer.shortcut, shape)
                yield "add", behind, behind
            case described.Branches():
                for way in layer.ways:
                    yield from _steps(way, shape)
                yield "concat", behind, behind
            case described.Flatten() | described.DropoutLayer():
                pass
            case _:
                yield layer, shape, behind
        shape = behind


def _counted(number: int, layer: described.Layer | LayerKind, before: Shape, behind: Shape) -> LayerCost:
    kind = layer if isinstance(layer, str) else _KINDS[type(layer)]
    window = getattr(layer, "kernel", None) or (before[1:] if kind == "pool" else (1, 1))
    macs, weights, unfolded = 0, 0, prod(before)
    if isinstance(layer, Conv):
        weights = layer.outputs * layer.inputs * prod(window)
        macs, unfolded = weights * prod(behind[1:]), layer.inputs * prod(window) * prod(behind[1:])
    elif isinstance(layer, Linear):
        macs = weights = layer.inputs * layer.outputs
    elif isinstance(layer, described.BatchNorm):
        weights = 2 * layer.channels
    return LayerCost(
        name=f"{number}-{kind}",
        kind=kind,
        macs=macs,
        parameters=weights,
        inputs=prod(before),
        outputs=prod(behind),
        unfolded=unfolded,
        channels=behind[0],
        kernel=max(window),
        stride=max(getattr(layer, "stride", (1, 1))),
    )
