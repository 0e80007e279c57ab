"""Networks with residual sums: ResNet-18 and ResNet-34, and MobileNetV2."""

from collections.abc import Mapping, Sequence

from fedlab.workload.convnets.layers import ConvShape
from fedlab.workload.convnets.trace import LayerTrace, State

# He et al. 2016 (arXiv 1512.03385), Table 1: blocks of two convolutions in each of the four stages.
_STAGES: Mapping[str, Sequence[int]] = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
# Sandler et al. 2018 (arXiv 1801.04381), Table 2: expansion, channels, blocks, stride of the first.
_INVERTED = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def resnet(name: str, input_shape: State, labels: int, *, large: bool = False) -> ConvShape:
    """Return a ResNet of basic blocks, with a normalisation after each convolution.

    The published stem for `large` images is a step of 2 and a pooling. As is usual for CIFAR, small ones have neither.
    """
    trace = LayerTrace(state=input_shape, norms=True)
    if large:
        trace.conv_relu(64, 7, 2, 3)
        trace.pool(3, 2, 1)
    else:
        trace.conv_relu(64, 3, 1, 1)
    for stage, blocks in enumerate(_STAGES[name.partition("-")[0]]):
        for block in range(blocks):
            _basic_block(trace, 64 * 2**stage, 2 if stage and not block else 1)
    trace.pool_all()
    trace.linear(labels)
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


def _basic_block(trace: LayerTrace, channels: int, stride: int) -> None:
    before = trace.state
    trace.conv_relu(channels, 3, stride, 1)
    trace.conv(channels, 3, 1, 1)
    trace.norm()
    after = trace.state
    if before != after:
        trace.state = before
        trace.conv(channels, 1, stride)
        trace.norm()
    trace.add()
    trace.relu()


def _inverted_block(trace: LayerTrace, expansion: int, channels: int, stride: int) -> None:
    before, inside = trace.state, expansion * trace.state[0]
    if expansion > 1:
        trace.conv_relu(inside, 1)
    trace.conv_relu(inside, 3, stride, 1, groups=inside)
    trace.conv(channels, 1)
    trace.norm()
    if trace.state == before:
        trace.add()
