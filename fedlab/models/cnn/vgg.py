"""VGG (Simonyan and Zisserman 2015, arXiv 1409.1556) without biases, and VGG-small, as NITI trains them.

On images of 224 x 224 pixels or more, the last layers are the published three linear ones of 4,096 hidden units. On
smaller images, such as CIFAR's, there is one linear layer (NITI, https://github.com/wangmaolin/niti): VGG-16 for 100
labels then has 14.76 million weights.
"""

from fedlab.common.arrays import Shape
from fedlab.models.cnn.layers import Conv, DropoutLayer, Flatten, Layer, Linear, MaxPool, Relu, shape_after

_POOL = MaxPool(kernel=(2, 2), stride=(2, 2))
_LARGE = 224  # pixels a side, ImageNet's
_HIDDEN = 4096
# Channels of the convolutions between the poolings.
_VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
_VGG13 = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
_VGG16 = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
_VGG19 = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
_VGG_SMALL = ((128,) * 3, (256,) * 3, (512,) * 2)


def vgg11(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of VGG-11. Raises ValueError for images of less than 32 x 32 pixels."""
    return _vgg(_VGG11, input_shape, labels)


def vgg13(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of VGG-13; see `vgg11`."""
    return _vgg(_VGG13, input_shape, labels)


def vgg16(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of VGG-16; see `vgg11`."""
    return _vgg(_VGG16, input_shape, labels)


def vgg19(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of VGG-19; see `vgg11`."""
    return _vgg(_VGG19, input_shape, labels)


def vgg_small(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return VGG-small with 9 layers of weights: 128 x 3, 256 x 3 and 512 x 2 channels, and a linear one with dropout.

    It is that of NITI's current version. Raises ValueError for images of less than 8 x 8 pixels.
    """
    features = (*_features(_VGG_SMALL, input_shape), Flatten())
    (flat,) = shape_after(features, input_shape)
    return (*features, DropoutLayer(), Linear(inputs=flat, outputs=labels))


def _vgg(stages: tuple[tuple[int, ...], ...], input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    features = (*_features(stages, input_shape), Flatten())
    (flat,) = shape_after(features, input_shape)
    if min(input_shape[1:]) < _LARGE:
        return (*features, Linear(inputs=flat, outputs=labels))
    hidden = (Linear(inputs=flat, outputs=_HIDDEN), Relu(), DropoutLayer())
    more = (Linear(inputs=_HIDDEN, outputs=_HIDDEN), Relu(), DropoutLayer())
    return (*features, *hidden, *more, Linear(inputs=_HIDDEN, outputs=labels))


def _features(stages: tuple[tuple[int, ...], ...], input_shape: Shape) -> tuple[Layer, ...]:
    """Return 3 x 3 convolutions that keep the size, each with ReLU, with a pooling behind each stage."""
    layers: list[Layer] = []
    inputs = input_shape[0]
    for stage in stages:
        for outputs in stage:
            layers += [Conv(inputs=inputs, outputs=outputs, kernel=(3, 3), padding=(1, 1)), Relu()]
            inputs = outputs
        layers.append(_POOL)
    return tuple(layers)
