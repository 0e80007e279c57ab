"""Max pooling on mantissas, [N, H, W, C], and the way of errors back to the largest of each window."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from fedlab.models.cnn.layers import MaxPool
from fedlab.models.integer.products import padding_around

_PADDED = -128  # smaller than every mantissa
_KEY_BITS = 8  # beside those of a mantissa, in 16 bits


def largest_of_windows(numbers: Tensor, layer: MaxPool) -> tuple[Tensor, Tensor]:
    """Return the largest of each window, int8, and where in the window the first such one is.

    One maximum finds both: it is of keys, each a number times a power of two plus how far it is from the window's end.
    """
    padded = padding_around(numbers, layer.padding, _PADDED)
    size = layer.kernel[0] * layer.kernel[1]
    bits = (size - 1).bit_length()
    wide = torch.int16 if bits <= _KEY_BITS else torch.int32
    keys = None
    for place, view in enumerate(_views(padded, layer)):
        key = view.to(wide).bitwise_left_shift_(bits).add_(size - 1 - place)
        keys = key if keys is None else torch.maximum(keys, key, out=keys)
    assert keys is not None
    largest = keys.bitwise_right_shift(bits).to(torch.int8)
    places = keys.bitwise_and_(2**bits - 1).neg_().add_(size - 1)
    return largest, places.to(torch.int8) if bits <= _KEY_BITS - 1 else places


def to_largest(errors: Tensor, places: Tensor, layer: MaxPool, size: Sequence[int]) -> Tensor:
    """Return errors at the places of the largest, 0 elsewhere, [N, H, W, C]; int32 sums where windows overlap."""
    count, rows, columns, channels = size
    (above, before), apart = layer.padding, layer.stride[0] >= layer.kernel[0] and layer.stride[1] >= layer.kernel[1]
    shape = (count, rows + 2 * above, columns + 2 * before, channels)
    total = torch.zeros(shape, dtype=torch.int8 if apart else torch.int32, device=errors.device)
    for place, view in enumerate(_views(total, layer)):
        view.add_(errors * (places == place))
    return total[:, above : above + rows, before : before + columns].contiguous()


def _views(padded: Tensor, layer: MaxPool) -> Iterator[Tensor]:
    """Yield, for each place in a window, the numbers of all windows there, as views."""
    (height, width), (down, right) = layer.kernel, layer.stride
    rows, columns = (padded.shape[1] - height) // down + 1, (padded.shape[2] - width) // right + 1
    for row in range(height):
        for column in range(width):
            yield padded[:, row : row + down * rows : down, column : column + right * columns : right]
