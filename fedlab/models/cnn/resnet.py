"""ResNet-18 and ResNet-34 (He et al. 2016, arXiv 1512.03385): residual sums of two 3 x 3 convolutions, with batch norm.

Images of 224 x 224 pixels or more begin with the published 7 x 7 convolution and pooling, which quarter their sides.
Smaller ones, such as CIFAR's, begin with a 3 x 3 convolution that keeps the size, as is usual for them.
"""

from fedlab.common.arrays import Shape
from fedlab.models.cnn.layers import (
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Relu,
    Residual,
)

_LARGE = 224  # pixels a side, ImageNet's
_RESNET18, _RESNET34 = (2, 2, 2, 2), (3, 4, 6, 3)  # blocks of the four stages (Table 1)
_CHANNELS = (64, 128, 256, 512)


def resnet18(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of ResNet-18."""
    return _resnet(_RESNET18, input_shape, labels)


def resnet34(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of ResNet-34."""
    return _resnet(_RESNET34, input_shape, labels)


def _resnet(stages: tuple[int, ...], input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    layers = list(_stem(input_shape))
    inputs = _CHANNELS[0]
    for stage, (blocks, outputs) in enumerate(zip(stages, _CHANNELS, strict=True)):
        for block in range(blocks):
            layers += _block(inputs, outputs, stride=2 if stage and not block else 1)
            inputs = outputs
    return (*layers, AveragePool(), Flatten(), Linear(inputs=inputs, outputs=labels))


def _stem(input_shape: Shape) -> tuple[Layer, ...]:
    channels, *sides = input_shape
    if min(sides) < _LARGE:
        return (*_convolution(channels, _CHANNELS[0]), Relu())
    wide = Conv(inputs=channels, outputs=_CHANNELS[0], kernel=(7, 7), stride=(2, 2), padding=(3, 3))
    pool = MaxPool(kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    return (wide, BatchNorm(channels=_CHANNELS[0]), Relu(), pool)


def _block(inputs: int, outputs: int, stride: int) -> tuple[Layer, ...]:
    body = (*_convolution(inputs, outputs, stride), Relu(), *_convolution(outputs, outputs))
    if inputs == outputs and stride == 1:
        return (Residual(body=body), Relu())
    shortcut = Conv(inputs=inputs, outputs=outputs, kernel=(1, 1), stride=(stride, stride))
    return (Residual(body=body, shortcut=(shortcut, BatchNorm(channels=outputs))), Relu())


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[Layer, ...]:
    conv = Conv(inputs=inputs, outputs=outputs, kernel=(3, 3), stride=(stride, stride), padding=(1, 1))
    return (conv, BatchNorm(channels=outputs))
