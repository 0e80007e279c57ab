"""Exact convolutions of int8 mantissas by torch's float32 kernels, where every partial sum is below 2^24.

Then all of them are whole numbers that float32 holds, whatever the order of additions. That needs a direct algorithm:
Winograd's and Fourier's have other sums. oneDNN's, which torch takes on x86 processors, is direct; elsewhere nothing is
computed here. Sizes as in `products`: examples come first, and channels last.
"""

import functools
import platform

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.cnn.layers import Conv
from fedlab.models.integer.rounding import LARGEST

_MARGIN = 1.01  # above what rounding can take from a sum of magnitudes in float32
EXACT = 2**24 // LARGEST  # of the sum of magnitudes of one side: float32 holds all sums of products then


@functools.cache
def is_direct(device_type: str) -> bool:
    """Tell whether torch's convolutions of float32 are direct on a kind of device."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return device_type == "cpu" and x86 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def channel_cuts(magnitudes: Tensor) -> list[int] | None:
    """Return the sizes of parts into which channels are cut for sums to be exact, None if single ones are not.

    `magnitudes` are sums of magnitudes, int64 [S, channels]: of the terms that each channel adds to each of S sums.
    """
    channels = magnitudes.shape[1]
    size = channels
    while any(int(part.sum(1).max()) >= EXACT for part in torch.split(magnitudes, size, 1)):
        if size == 1:
            return None
        size = -(-size // 2)
    return [min(size, channels - start) for start in range(0, channels, size)]


def convolved(inputs: Tensor, weight: Tensor, layer: Conv) -> Tensor | None:
    """Return the sums of a convolution, int32 [N, H', W', O]; None if they cannot be exact here."""
    cuts = channel_cuts(weight.abs().sum((2, 3), dtype=torch.int64)) if is_direct(inputs.device.type) else None
    if cuts is None:
        return None
    total = None
    floats = _first(inputs)
    for part, other in zip(torch.split(floats, cuts, 1), torch.split(weight.float(), cuts, 1), strict=True):
        sums = F.conv2d(part, other, stride=layer.stride, padding=layer.padding).to(torch.int32)
        total = sums if total is None else total.add_(sums)
    return None if total is None else _last(total)


def input_gradient(errors: Tensor, weight: Tensor, layer: Conv, size: tuple[int, int]) -> Tensor | None:
    """Return the gradient of a convolution's input, int32 [N, H, W, C]; None if it cannot be exact here."""
    cuts = channel_cuts(weight.abs().sum((2, 3), dtype=torch.int64).t()) if is_direct(errors.device.type) else None
    if cuts is None:
        return None
    total = None
    floats = _first(errors)
    shape = torch.empty(0).new_empty((1,)).expand(len(errors), weight.shape[1], *size)
    for part, other in zip(torch.split(floats, cuts, 1), torch.split(weight.float(), cuts), strict=True):
        found = _backward(part, shape, other, layer, (True, False, False))[0].to(torch.int32)
        total = found if total is None else total.add_(found)
    return None if total is None else _last(total)


def weight_gradient(inputs: Tensor, errors: Tensor, layer: Conv) -> Tensor | None:
    """Return the gradient of a convolution's weight, int32 [O, C, h, w]; None if it cannot be exact here."""
    if not is_direct(inputs.device.type):
        return None
    floats, other = _first(inputs), _first(errors)
    whole = float(torch.linalg.vector_norm(other, 1, (0, 2, 3)).max())
    ends: list[int] | None = [len(errors)]
    if whole * _MARGIN >= EXACT:
        ends = _runs(errors.abs().sum((1, 2), dtype=torch.int64))
    if ends is None:
        return None
    weight = floats.new_empty((1,)).expand(errors.shape[3], inputs.shape[3], *layer.kernel)
    total = None
    start = 0
    for behind in ends:
        part, error = floats[start:behind], other[start:behind]
        found = _backward(error, part, weight, layer, (False, True, False))[1].to(torch.int32)
        total = found if total is None else total.add_(found)
        start = behind
    return total


def _runs(magnitudes: Tensor) -> list[int] | None:
    """Return where runs of examples end whose summed magnitudes, of int64 [N, O], are exact.

    None if a single one's are not, or if all together can exceed int32.
    """
    if int(magnitudes.max()) >= EXACT or int(magnitudes.sum(0).max()) * LARGEST >= 2**31:
        return None
    ends, running = [], torch.zeros_like(magnitudes[0])
    for index, each in enumerate(magnitudes):
        running = running + each
        if int(running.max()) >= EXACT:
            ends.append(index)
            running = each
    return [*ends, len(magnitudes)]


def _backward(
    errors: Tensor, inputs: Tensor, weight: Tensor, layer: Conv, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor]:
    found = torch.ops.aten.convolution_backward(
        errors, inputs, weight, None, layer.stride, layer.padding, (1, 1), False, (0, 0), 1, wanted
    )
    return found[0], found[1]


def _first(numbers: Tensor) -> Tensor:
    return numbers.permute(0, 3, 1, 2).float()


def _last(numbers: Tensor) -> Tensor:
    return numbers.permute(0, 2, 3, 1).contiguous()
