"""Inception-v3 (Szegedy et al. 2016, arXiv 1512.00567) without its auxiliary classifier, as torchvision has it.

Images of 75 x 75 pixels or more begin with the published layers, which make 299 pixels 35. Smaller ones, such as
CIFAR's, begin with the same convolutions without strides and poolings, as is usual for them.
"""

from dataclasses import dataclass, field

from fedlab.common.arrays import Shape
from fedlab.models.cnn.layers import (
    AveragePool,
    BatchNorm,
    Branches,
    Conv,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Pair,
    Relu,
)

_SMALLEST = 75  # pixels a side that the published first layers need
_Step = tuple[int, Pair, Pair, Pair]  # channels, kernel, stride, padding
_ONE = (1, 1)
_HALVES = MaxPool(kernel=(3, 3), stride=(2, 2))
_BLURS = AveragePool(kernel=(3, 3), stride=(1, 1), padding=(1, 1))


@dataclass(kw_only=True)
class _Builder:
    """The layers so far, and the channels behind them."""

    channels: int
    layers: list[Layer] = field(default_factory=list)

    def chain(self, *steps: _Step) -> None:
        """Add convolutions, each with batch norm and ReLU."""
        self.layers += _chain(self.channels, steps)
        self.channels = steps[-1][0]

    def branches(self, *ways: tuple[_Step, ...], pooled: int | None) -> None:
        """Add ways beside each other, and one that averages and has `pooled` channels, or halves without any."""
        last: tuple[Layer, ...] = (_HALVES,)
        if pooled is not None:
            last = (_BLURS, *_chain(self.channels, (_square(pooled, 1),)))
        added = self.channels if pooled is None else pooled
        self.layers.append(Branches(ways=(*(_chain(self.channels, way) for way in ways), last)))
        self.channels = sum(way[-1][0] for way in ways) + added

    def split_branches(self) -> None:
        """Add the ways of the last resolution, two of which end in a 1 x 3 and a 3 x 1 convolution side by side."""
        ends = ((384, (1, 3), _ONE, (0, 1)),), ((384, (3, 1), _ONE, (1, 0)),)
        beside = Branches(ways=tuple(_chain(384, end) for end in ends))
        ways = (
            _chain(self.channels, (_square(320, 1),)),
            (*_chain(self.channels, (_square(384, 1),)), beside),
            (*_chain(self.channels, (_square(448, 1), _square(384, 3))), beside),
            (_BLURS, *_chain(self.channels, (_square(192, 1),))),
        )
        self.layers.append(Branches(ways=ways))
        self.channels = 320 + 4 * 384 + 192


def inception_v3(input_shape: Shape, labels: int) -> tuple[Layer, ...]:
    """Return the layers of Inception-v3."""
    net = _Builder(channels=input_shape[0])
    _stem(net, published=min(input_shape[1:]) >= _SMALLEST)
    for pooled in (32, 64, 64):
        net.branches(
            (_square(64, 1),), (_square(48, 1), _square(64, 5)), (_square(64, 1), _square(96, 3), _square(96, 3)),
            pooled=pooled,
        )  # fmt: skip
    net.branches((_halving(384),), (_square(64, 1), _square(96, 3), _halving(96)), pooled=None)
    for inside in (128, 160, 160, 192):
        first = (_square(inside, 1), _flat(inside), _tall(192))
        second = (_square(inside, 1), _tall(inside), _flat(inside), _tall(inside), _flat(192))
        net.branches((_square(192, 1),), first, second, pooled=192)
    seven = (_square(192, 1), _flat(192), _tall(192), _halving(192))
    net.branches((_square(192, 1), _halving(320)), seven, pooled=None)
    net.split_branches()
    net.split_branches()
    return (*net.layers, AveragePool(), Flatten(), Linear(inputs=net.channels, outputs=labels))


def _stem(net: _Builder, *, published: bool) -> None:
    if not published:
        net.chain(_square(32, 3), _square(32, 3), _square(64, 3), _square(80, 1), _unpadded(192))
        return
    net.chain(_halving(32), _unpadded(32), _square(64, 3))
    net.layers.append(_HALVES)
    net.chain(_square(80, 1), _unpadded(192))
    net.layers.append(_HALVES)


def _chain(inputs: int, steps: tuple[_Step, ...]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for outputs, kernel, stride, padding in steps:
        conv = Conv(inputs=inputs, outputs=outputs, kernel=kernel, stride=stride, padding=padding)
        layers += [conv, BatchNorm(channels=outputs), Relu()]
        inputs = outputs
    return tuple(layers)


def _square(channels: int, side: int) -> _Step:
    """Return a convolution that keeps the size."""
    return channels, (side, side), _ONE, (side // 2, side // 2)


def _flat(channels: int) -> _Step:
    return channels, (1, 7), _ONE, (0, 3)


def _tall(channels: int) -> _Step:
    return channels, (7, 1), _ONE, (3, 0)


def _halving(channels: int) -> _Step:
    return channels, (3, 3), (2, 2), (0, 0)


def _unpadded(channels: int) -> _Step:
    return channels, (3, 3), _ONE, (0, 0)
