"""The peak memory of a training batch of a convolutional network.

Floating point, as MNN trains: the values of a weight are the weight, its gradient, its momentum and two temporaries of
SGD. The matrix that a convolution makes of its input is kept four times, for the products of the backward pass and in
the layouts that they need. Layers keep little more than their outputs. These three counts and the memory of the process
were fitted to 15 published figures of five networks; the largest error is 10% (`fedlab reproduce mandheling-table8`).

Integers (inferred, nothing is published): a weight is 1 byte, and so is an activation that is kept. The gradient of the
largest layer and the results of the widest one are int32. Prepared subgraphs hold a second copy of the weights.
"""

from collections.abc import Sequence

from fedlab.devices.conv_rates import ConvFormat
from fedlab.devices.costmodel.conv_operators import ELEMENT_BYTES, ConvOperator
from fedlab.devices.costmodel.techniques import ACCUMULATOR_BYTES
from fedlab.workload.conv_shape import ConvShape

_VALUES_OF_A_WEIGHT = 4.9
_UNFOLDED_COPIES = 4.1
_OUTPUT_COPIES = 1.2


def float_peak_bytes(shape: ConvShape, batch_size: int, number_format: ConvFormat, *, training: bool) -> float:
    """Return the peak of a batch in floating point, without the process; of a forward pass weights and widest layer."""
    element = ELEMENT_BYTES[number_format]
    if not training:
        widest = max(layer.inputs + layer.outputs + _unfolded(layer.kind, layer.unfolded) for layer in shape.layers)
        return element * (shape.parameters + batch_size * widest)
    unfolded = sum(_unfolded(layer.kind, layer.unfolded) for layer in shape.layers)
    sample = _UNFOLDED_COPIES * unfolded + _OUTPUT_COPIES * shape.activations
    return element * (_VALUES_OF_A_WEIGHT * shape.parameters + batch_size * sample)


def integer_peak_bytes(
    shape: ConvShape, operators: Sequence[ConvOperator], parts: Sequence[int], batch_size: int, *, prepared_bytes: float
) -> float:
    """Return the peak of a batch in integers, without the process; `parts` are the samples of each operator at once."""
    weights = sum(layer.parameters for layer in shape.layers if layer.kind != "norm")
    trains = any(each.phase == "update" for each in operators)
    kept = sum(layer.outputs for layer in shape.layers if layer.kind not in ("norm", "activation")) if trains else 0
    widest = max(
        part * (each.written * ACCUMULATOR_BYTES + each.read) for each, part in zip(operators, parts, strict=True)
    )
    gradient = max((each.weights for each in operators if each.phase == "gradient"), default=0) * ACCUMULATOR_BYTES
    return weights + batch_size * kept + max(widest, gradient) + prepared_bytes


def _unfolded(kind: str, elements: int) -> int:
    return elements if kind == "convolution" else 0
