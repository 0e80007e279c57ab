"""Networks of parallel branches: GoogLeNet, SqueezeNet and InceptionV3.

GoogLeNet and SqueezeNet are as the MNN benchmark trains them, without activation functions between convolutions, and
with 10 labels.
"""

from collections.abc import Sequence

from fedlab.workload.convnets.layers import ConvShape
from fedlab.workload.convnets.trace import SAME, Padding, State, Trace, Window

# Szegedy et al. 2015 (arXiv 1409.4842), Table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool; a 0 where pooling comes.
_INCEPTION = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (), (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), (),
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip
# Iandola et al. 2016 (arXiv 1602.07360), Table 1: squeeze, and each of the two expands.
_FIRES = ((16, 64), (16, 64), (32, 128), (), (32, 128), (48, 192), (48, 192), (64, 256), (), (64, 256))

Convolution = tuple[int, Window, int, Padding]  # channels, kernel, stride, padding


def googlenet(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return GoogLeNet."""
    trace = Trace(state=input_shape)
    trace.conv(64, 7, 2, SAME)
    trace.pool(3, 2, SAME)
    trace.conv(192, 3, 2, SAME)
    trace.pool(3, 2, SAME)
    for sizes in _INCEPTION:
        if not sizes:
            trace.pool(3, 2, SAME)
            continue
        one, reduce3, three, reduce5, five, pooled = sizes
        entry = trace.state
        for convs in (((one, 1),), ((reduce3, 1), (three, 3)), ((reduce5, 1), (five, 5))):
            trace.state = entry
            for channels, kernel in convs:
                trace.conv(channels, kernel, 1, SAME)
        trace.state = entry
        trace.pool(3, 1, SAME)
        trace.conv(pooled, 1)
        trace.concat(one + three + five + pooled)
    trace.pool_all()
    trace.conv(labels, 1)
    return trace.shape(name, input_shape)


def squeezenet(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return SqueezeNet 1.0 with a classifier of one 1 x 1 convolution."""
    trace = Trace(state=input_shape)
    trace.conv(96, 7, 2, SAME)
    trace.pool(3, 2, SAME)
    for fire in _FIRES:
        if not fire:
            trace.pool(3, 2, SAME)
            continue
        squeeze, expand = fire
        trace.conv(squeeze, 1)
        entry = trace.state
        for kernel in (1, 3):
            trace.state = entry
            trace.conv(expand, kernel, 1, SAME)
        trace.concat(2 * expand)
    trace.conv(labels, 1)
    trace.pool_all()
    return trace.shape(name, input_shape)


def inception_v3(name: str, input_shape: State, labels: int, *, large: bool = False) -> ConvShape:
    """Return InceptionV3 without its auxiliary classifier (Szegedy et al. 2016, arXiv 1512.00567).

    The published stem makes `large` images an eighth. As is usual for CIFAR, that of small ones keeps the size.
    """
    trace = Trace(state=input_shape, norms=True)
    _stem(trace, large=large)
    for pooled in (32, 64, 64):
        _branches(trace, [[(64, 1, 1, 0)], [(48, 1, 1, 0), (64, 5, 1, 2)], _two_threes(64, 96)], pooled)
    _branches(trace, [[(384, 3, 2, 0)], [*_two_threes(64, 96)[:2], (96, 3, 2, 0)]], 0)
    for inside in (128, 160, 160, 192):
        _branches(trace, [[(192, 1, 1, 0)], _sevens(inside, 1), _sevens(inside, 2)], 192)
    seven = [*_sevens(192, 1)[:2], (192, (7, 1), 1, (3, 0)), (192, 3, 2, 0)]
    _branches(trace, [[(192, 1, 1, 0), (320, 3, 2, 0)], seven], 0)
    for _ in range(2):
        _widest(trace)
    trace.pool_all()
    trace.linear(labels)
    return trace.shape(name, input_shape)


def _stem(trace: Trace, *, large: bool) -> None:
    """Add the convolutions before the branches."""
    if large:
        convs: list[Convolution] = [(32, 3, 2, 0), (32, 3, 1, 0), (64, 3, 1, 1), (80, 1, 1, 0), (192, 3, 1, 0)]
    else:
        convs = [(32, 3, 1, 1), (32, 3, 1, 1), (64, 3, 1, 1), (80, 1, 1, 0), (192, 3, 1, 0)]
    for index, (channels, kernel, stride, padding) in enumerate(convs):
        trace.conv_relu(channels, kernel, stride, padding)
        if large and index in (2, 4):
            trace.pool(3, 2)


def _two_threes(reduced: int, channels: int) -> list[Convolution]:
    return [(reduced, 1, 1, 0), (channels, 3, 1, 1), (channels, 3, 1, 1)]


def _sevens(inside: int, pairs: int) -> list[Convolution]:
    """Return a branch of `pairs` pairs of 1 x 7 and 7 x 1; two pairs begin with 7 x 1."""
    windows: list[tuple[tuple[int, int], tuple[int, int]]] = [((1, 7), (0, 3)), ((7, 1), (3, 0))]
    if pairs == 2:
        windows = windows[::-1] * 2
    sizes = [inside] * (len(windows) - 1) + [192]
    convs: list[Convolution] = [(inside, 1, 1, 0)]
    convs += [(size, window, 1, pad) for size, (window, pad) in zip(sizes, windows, strict=True)]
    return convs


def _branches(trace: Trace, branches: Sequence[Sequence[Convolution]], pooled: int) -> None:
    """Add parallel branches and one that pools, with a convolution to `pooled` channels; 0: pooling that halves."""
    entry, channels = trace.state, 0
    for branch in branches:
        trace.state = entry
        for convolution in branch:
            trace.conv_relu(*convolution)
        channels += trace.state[0]
    trace.state = entry
    if pooled:
        trace.pool(3, 1, 1)
        trace.conv_relu(pooled, 1)
    else:
        trace.pool(3, 2)
    trace.concat(channels + trace.state[0])


def _widest(trace: Trace) -> None:
    """Add the last kind of branches, two of which split into 1 x 3 and 3 x 1."""
    entry = trace.state
    trace.conv_relu(320, 1)
    for before in ([(384, 1, 0)], [(448, 1, 0), (384, 3, 1)]):
        trace.state = entry
        for channels, kernel, padding in before:
            trace.conv_relu(channels, kernel, 1, padding)
        inside = trace.state
        for window, pad in (((1, 3), (0, 1)), ((3, 1), (1, 0))):
            trace.state = inside
            trace.conv_relu(384, window, 1, pad)
    trace.state = entry
    trace.pool(3, 1, 1)
    trace.conv_relu(192, 1)
    trace.concat(2048)
