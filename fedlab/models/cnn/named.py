"""The convolutional networks that have a name, as costs, with the images and labels they are usually trained on."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fedlab.errors import UserError
from fedlab.models.cnn.inception import inception_v3
from fedlab.models.cnn.layer_costs import layer_costs
from fedlab.models.cnn.layer_trace import State
from fedlab.models.cnn.lenet import lenet
from fedlab.models.cnn.mnn_networks import alexnet, googlenet, mobilenet_v2, squeezenet
from fedlab.models.cnn.resnet import resnet18, resnet34
from fedlab.models.cnn.sizes import LayersOf
from fedlab.models.cnn.vgg import vgg11, vgg13, vgg16, vgg19, vgg_small
from fedlab.workload.conv_shape import ConvShape


class NamedNet(NamedTuple):
    """How a network's costs are found, and its usual images and labels."""

    describe: Callable[[str, State, int], ConvShape]
    input_shape: State
    labels: int


def _trained(layers_of: LayersOf, input_shape: State, labels: int) -> NamedNet:
    """Return a network that is trained here, too."""

    def describe(name: str, shape: State, labels: int) -> ConvShape:
        costs = layer_costs(layers_of(shape, labels), shape)
        return ConvShape(name=name, input_shape=shape, labels=labels, layers=costs)

    return NamedNet(describe, input_shape, labels)


_CIFAR, _IMAGENET, _MNIST = (3, 32, 32), (3, 224, 224), (1, 28, 28)
_OF_BOTH: Mapping[str, LayersOf] = {
    "vgg11": vgg11,
    "vgg13": vgg13,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "resnet18": resnet18,
    "resnet34": resnet34,
}
CONVNETS: Mapping[str, NamedNet] = {
    "lenet": _trained(lenet, _MNIST, 10),
    "alexnet": NamedNet(alexnet, _IMAGENET, 10),
    "googlenet": NamedNet(googlenet, _IMAGENET, 10),
    "squeezenet": NamedNet(squeezenet, _IMAGENET, 10),
    "mobilenet-v2": NamedNet(mobilenet_v2, _IMAGENET, 1001),
    "vgg-small": _trained(vgg_small, _CIFAR, 10),
    "inception-v3": _trained(inception_v3, _CIFAR, 10),
    "inception-v3-imagenet": _trained(inception_v3, (3, 299, 299), 1000),
    **{name: _trained(layers_of, _CIFAR, 10) for name, layers_of in _OF_BOTH.items()},
    **{f"{name}-imagenet": _trained(layers_of, _IMAGENET, 1000) for name, layers_of in _OF_BOTH.items()},
}


@functools.lru_cache(maxsize=256)
def convnet(name: str, *, input_shape: State | None = None, labels: int | None = None) -> ConvShape:
    """Return a network by its name, for images of `input_shape` (channels, height, width) and `labels`.

    Raises UserError for an unknown name, and for images that are too small.
    """
    if name not in CONVNETS:
        raise UserError(f"no convolutional network is called '{name}', accepted: {', '.join(CONVNETS)}")
    known = CONVNETS[name]
    try:
        return known.describe(name, input_shape or known.input_shape, known.labels if labels is None else labels)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
