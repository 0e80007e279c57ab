"""The operators of a training batch of a convolutional network: operations, elements that are moved, and results.

A layer with weights runs forward, hands the error to the layer below (the first one does not), takes the gradient of
its weights, and has them updated: three products of the same size. Sums are rounded back to the format that they came
from: in an integer format each result is rescaled, which is the traffic that Mandheling saves.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from fedlab.devices.conv_rates import ConvFormat
from fedlab.workload.conv_shape import ConvShape, LayerCost

OperatorPhase = Literal["input", "forward", "error", "gradient", "update"]

# Bytes of an element.
ELEMENT_BYTES: dict[ConvFormat, int] = {"fp32": 4, "fp16": 2, "int8": 1}

_MOMENTUM_VALUES = 7  # gradient, weight and momentum are read with the decay, the two are written
_INTEGER_VALUES = 3  # gradient and weight are read, the weight is written
_QUANTISED_VALUES = 9  # bytes: a float image is read for its largest value, read again and written as int8


@dataclass(frozen=True, kw_only=True)
class ConvOperator:
    """One operator, in elements of one sample; what a format makes of them is bytes.

    `moved` are read or written, `results` are sums that are rounded, `unfolded` are those of the matrix that a
    convolution makes of its input. `fixed_moved` and `fixed_results` are for the whole batch, whatever its size. A
    working set has `read`, `written` and `weights`. `layer` is the place of the layer in the network. An activation is
    `fusible`: a processor that convolves in place does it while it rounds (Hexagon NN's supernode).
    """

    layer: int
    name: str
    phase: OperatorPhase
    operations: float = 0.0
    depthwise: bool = False
    moved: int = 0
    results: int = 0
    unfolded: int = 0
    fixed_moved: int = 0
    fixed_results: int = 0
    read: int = 0
    written: int = 0
    weights: int = 0
    fusible: bool = False

    @property
    def needs_cpu(self) -> bool:
        """Whether it has no version for a DSP: the quantisation of images and the update of weights have none."""
        return self.phase in ("input", "update")


@functools.lru_cache(maxsize=256)
def conv_operators(shape: ConvShape, number_format: ConvFormat, *, training: bool = True) -> tuple[ConvOperator, ...]:
    """Return the operators of a batch in the order in which they run; without `training` those of a forward pass.

    Networks of integers have no normalisation, so it is left out in int8.
    """
    integer = number_format == "int8"
    layers = [(at, layer) for at, layer in enumerate(shape.layers) if not (integer and layer.kind == "norm")]
    found: list[ConvOperator] = []
    if integer:
        moved = _QUANTISED_VALUES * prod(shape.input_shape)
        found.append(ConvOperator(layer=-1, name="images", phase="input", moved=moved))
    found += [_forward(at, layer) for at, layer in layers]
    if training:
        first = next(at for at, layer in layers if layer.is_product)
        for at, layer in reversed(layers):
            found += _backward(at, layer, integer=integer, hands_down=at > first)
    return tuple(found)


def _forward(at: int, layer: LayerCost) -> ConvOperator:
    if layer.is_product:
        return _product(at, layer, "forward", read=layer.inputs, written=layer.outputs)
    return _elementwise(at, layer, "forward")


def _backward(at: int, layer: LayerCost, *, integer: bool, hands_down: bool) -> Iterator[ConvOperator]:
    if not layer.is_product:
        if hands_down:
            yield _elementwise(at, layer, "error")
        if layer.parameters:
            yield _update(at, layer, integer=integer)
        return
    if hands_down:
        yield _product(at, layer, "error", read=layer.outputs, written=layer.inputs)
    yield _product(at, layer, "gradient", read=layer.inputs + layer.outputs, written=0)
    yield _update(at, layer, integer=integer)


def _product(at: int, layer: LayerCost, phase: OperatorPhase, *, read: int, written: int) -> ConvOperator:
    """Return a product of a layer; that for the gradient of its weights is summed over the batch."""
    return ConvOperator(
        layer=at,
        name=layer.name,
        phase=phase,
        operations=2.0 * layer.macs,
        depthwise=layer.kind == "depthwise",
        moved=read,
        results=written,
        unfolded=layer.unfolded if layer.kind == "convolution" else 0,
        fixed_results=layer.parameters if phase == "gradient" else 0,
        read=read,
        written=written,
        weights=layer.parameters,
    )


def _update(at: int, layer: LayerCost, *, integer: bool) -> ConvOperator:
    values = _INTEGER_VALUES if integer else _MOMENTUM_VALUES
    return ConvOperator(
        layer=at, name=layer.name, phase="update", fixed_moved=values * layer.parameters, weights=layer.parameters
    )


# Elements of the output that a layer without weights moves forward and backward, and results to be rounded.
_TOUCHES = {"activation": (2, 3, 0), "norm": (3, 5, 0), "concat": (2, 2, 0), "add": (2, 2, 1)}


def _elementwise(at: int, layer: LayerCost, phase: OperatorPhase) -> ConvOperator:
    forward, backward, rounded = _TOUCHES.get(layer.kind, (1, 1, 0))
    moved = (forward if phase == "forward" else backward) * layer.outputs
    return ConvOperator(
        layer=at,
        name=layer.name,
        phase=phase,
        moved=moved + (layer.inputs if layer.kind == "pool" else 0),
        results=rounded * layer.outputs,
        read=layer.inputs,
        written=layer.outputs,
        fusible=layer.kind == "activation" and phase == "forward",
    )
