"""Networks without branches: LeNet, AlexNet, VGG, and the VGG-small of NITI's published logs."""

from collections.abc import Mapping, Sequence

from fedlab.workload.convnets.layers import ConvShape
from fedlab.workload.convnets.trace import SAME, LayerTrace, State

# Simonyan and Zisserman 2015 (arXiv 1409.1556), Table 1: channels, and "M" where pooling halves the size.
_STAGES: Mapping[str, Sequence[Sequence[int]]] = {
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg13": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
_VGG_SMALL = ((128,) * 3, (256,) * 3, (512,) * 2)  # NITI's log of VGG-small-9
_HIDDEN = 4096


def lenet(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return LeNet with 20 and 50 channels and 500 units, without biases, as NITI and Q-FedUpdate train it."""
    trace = LayerTrace(state=input_shape, biases=False)
    for channels in (20, 50):
        trace.conv(channels, 5)
        trace.relu()
        trace.pool(2, 2)
    trace.linear(500)
    trace.relu()
    trace.linear(labels)
    return trace.shape(name, input_shape)


def alexnet(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return AlexNet as the MNN benchmark trains it: one hidden layer of 4096, and no group of channels."""
    trace = LayerTrace(state=input_shape)
    trace.conv_relu(96, 11, 4)
    trace.pool(3, 2)
    trace.conv_relu(256, 5, 1, SAME)
    trace.pool(3, 2)
    for channels in (384, 384):
        trace.conv_relu(channels, 3, 1, SAME)
    trace.conv(256, 3, 1, SAME)
    trace.pool(3, 2)
    trace.linear(_HIDDEN)
    trace.relu()
    trace.linear(labels)
    return trace.shape(name, input_shape)


def vgg(name: str, input_shape: State, labels: int, *, large: bool = False) -> ConvShape:
    """Return a VGG; after its convolutions comes one linear layer, or three as published for `large` images."""
    trace = LayerTrace(state=input_shape)
    _stages(trace, _STAGES[name.partition("-")[0]])
    if large:
        for _ in range(2):
            trace.linear(_HIDDEN)
            trace.relu()
    trace.linear(labels)
    return trace.shape(name, input_shape)


def vgg_small(name: str, input_shape: State, labels: int) -> ConvShape:
    """Return VGG-small: eight convolutions and one linear layer, without biases."""
    trace = LayerTrace(state=input_shape, biases=False)
    _stages(trace, _VGG_SMALL)
    trace.linear(labels)
    return trace.shape(name, input_shape)


def _stages(trace: LayerTrace, stages: Sequence[Sequence[int]]) -> None:
    for stage in stages:
        for channels in stage:
            trace.conv_relu(channels, 3, 1, 1)
        trace.pool(2, 2)
