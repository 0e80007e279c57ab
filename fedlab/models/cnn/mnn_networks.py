"""The networks that MNN's training was measured with on phones, as costs alone: they are not trained here.

They are as that benchmark has them (github UbiquitousLearning/Benchmark-On-Device-Training): with 10 labels but
MobileNetV2's 1,001, and GoogLeNet and SqueezeNet without activation functions between convolutions.
"""

from fedlab.models.cnn.layer_trace import SAME, LayerTrace, State
from fedlab.workload.conv_shape import ConvShape

# Szegedy et al. 2015 (arXiv 1409.4842), Table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool; a 0 where pooling comes.
_INCEPTION = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (), (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), (),
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip
# Iandola et al. 2016 (arXiv 1602.07360), Table 1: squeeze, and each of the two expands.
_FIRES = ((16, 64), (16, 64), (32, 128), (), (32, 128), (48, 192), (48, 192), (64, 256), (), (64, 256))
# Sandler et al. 2018 (arXiv 1801.04381), Table 2: expansion, channels, blocks, stride of the first.
_INVERTED = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def alexnet(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return AlexNet with one hidden layer of 4,096, and no group of channels."""
    trace = LayerTrace(state=input_shape)
    trace.conv_relu(96, 11, 4)
    trace.pool(3, 2)
    trace.conv_relu(256, 5, 1, SAME)
    trace.pool(3, 2)
    for channels in (384, 384):
        trace.conv_relu(channels, 3, 1, SAME)
    trace.conv(256, 3, 1, SAME)
    trace.pool(3, 2)
    trace.linear(4096)
    trace.relu()
    trace.linear(labels)
    return trace.shape(name, input_shape)


def googlenet(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return GoogLeNet."""
    trace = LayerTrace(state=input_shape)
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
    trace = LayerTrace(state=input_shape)
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


def mobilenet_v2(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return MobileNetV2 of width 1."""
    trace = LayerTrace(state=input_shape, norms=True)
    trace.conv_relu(32, 3, 2, 1)
    for expansion, channels, blocks, stride in _INVERTED:
        for block in range(blocks):
            _inverted_block(trace, expansion, channels, 1 if block else stride)
    trace.conv_relu(1280, 1)
    trace.pool_all()
    trace.linear(labels)
    return trace.shape(name, input_shape)


def _inverted_block(trace: LayerTrace, expansion: int, channels: int, stride: int) -> None:
    before, inside = trace.state, expansion * trace.state[0]
    if expansion > 1:
        trace.conv_relu(inside, 1)
    trace.conv_relu(inside, 3, stride, 1, groups=inside)
    trace.conv(channels, 1)
    trace.norm()
    if trace.state == before:
        trace.add()
