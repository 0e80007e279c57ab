"""The convolutional networks that have a name, with the images and labels they are usually trained on."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fedlab.errors import UserError
from fedlab.workload.convnets.branched import googlenet, inception_v3, squeezenet
from fedlab.workload.convnets.layers import ConvShape
from fedlab.workload.convnets.plain import alexnet, lenet, vgg, vgg_small
from fedlab.workload.convnets.residual import mobilenet_v2, resnet
from fedlab.workload.convnets.trace import State


class NamedNet(NamedTuple):
    """How a network is described, and its usual images and labels."""

    describe: Callable[[str, State, int], ConvShape]
    input_shape: State
    labels: int


_CIFAR, _IMAGENET, _MNIST = (3, 32, 32), (3, 224, 224), (1, 28, 28)
CONVNETS: Mapping[str, NamedNet] = {
    "lenet": NamedNet(lenet, _MNIST, 10),
    "alexnet": NamedNet(alexnet, _IMAGENET, 10),
    "googlenet": NamedNet(googlenet, _IMAGENET, 10),
    "squeezenet": NamedNet(squeezenet, _IMAGENET, 10),
    "mobilenet-v2": NamedNet(mobilenet_v2, _IMAGENET, 1001),
    **{name: NamedNet(vgg, _CIFAR, 10) for name in ("vgg11", "vgg13", "vgg16", "vgg19")},
    "vgg-small": NamedNet(vgg_small, _CIFAR, 10),
    "resnet18": NamedNet(resnet, _CIFAR, 10),
    "resnet34": NamedNet(resnet, _CIFAR, 10),
    "inception-v3": NamedNet(inception_v3, _CIFAR, 10),
    **{
        f"{name}-imagenet": NamedNet(functools.partial(vgg, large=True), _IMAGENET, 1000)
        for name in ("vgg11", "vgg13", "vgg16", "vgg19")
    },
    **{
        f"{name}-imagenet": NamedNet(functools.partial(resnet, large=True), _IMAGENET, 1000)
        for name in ("resnet18", "resnet34")
    },
    "inception-v3-imagenet": NamedNet(functools.partial(inception_v3, large=True), (3, 299, 299), 1000),
}


@functools.lru_cache(maxsize=256)
def convnet(name: str, *, input_shape: State | None = None, labels: int | None = None) -> ConvShape:
    """Return a network by its name, for images of `input_shape` (channels, height, width) and `labels`.

    Raises UserError for an unknown name, and for images that are too small.
    """
    if name not in CONVNETS:
        raise UserError(f"no convolutional network is called '{name}', accepted: {', '.join(CONVNETS)}")
    known = CONVNETS[name]
    return known.describe(name, input_shape or known.input_shape, known.labels if labels is None else labels)
