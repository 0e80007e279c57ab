"""Exact sums of products of int8 mantissas: of matrices, and of convolutions forward and back.

A convolution is a product of the windows of its input with its weight. The product is that of torch's kernel for
integers where the processor has instructions for it. Elsewhere it is float32's, with partial sums that stay below 2^24:
then all of them are whole numbers that float32 holds, so that the result is the same integers in any order of addition.
A partial sum is at most 127 times the sum of magnitudes over the terms of one side; where that is too much, terms are
cut into parts, and their results are added as int32. Torch's own float32 convolutions are used where they are exact.

Sizes: N examples; H and W height and width; C channels, the last dimension; O outputs; K a window, height * width * C.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from fedlab.models.cnn.layers import Conv
from fedlab.models.integer import float_convolution
from fedlab.models.integer.float_convolution import EXACT
from fedlab.models.integer.rounding import LARGEST
from fedlab.models.quantised.exact_product import MOST_TERMS, by_int_kernel, int_kernel_is_faster

_WIDEST = (2**31 - 1) // LARGEST  # the same of int32
_CUT = EXACT // LARGEST  # terms that are exact whatever they are
_ELEMENTS = 2**20  # of windows at once: a few megabytes, what a cache holds
_WIDE_WINDOW = 1024  # numbers, from which on the product of windows is faster at the gradient of a weight
_SHORT_RUN = 16  # numbers of a window that lie one behind another


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """Return the exact sums, int32 [R, O], of int8 [R, K] and [K, O]; for K above 133,152 they have to fit int32."""
    return _times(right)(left)


def summed_product(left: Tensor, right: Tensor) -> Tensor:
    """Return the exact sums over rows, [O, K], of int8 [R, O] and [R, K]; int32, or int64 where they can exceed it."""
    sums = _RowSums(left.shape[1], right.shape[1], left.device)
    sums.add(left, right)
    return sums.total()


def conv_product(inputs: Tensor, weight: Tensor, layer: Conv) -> Tensor:
    """Return the sums of a convolution, int32 [N, H', W', O], of int8 inputs [N, H, W, C] and weight [O, C, h, w]."""
    by_integers = int_kernel_is_faster(inputs.device)
    direct = None if by_integers else float_convolution.convolved(inputs, weight, layer)
    if direct is not None:
        return direct
    product = _times(_window_matrix(weight))
    blocks = _windows(inputs, layer, as_float=not by_integers)
    return joined([product(windows.flatten(0, 2)).view(*windows.shape[:3], -1) for windows in blocks])


def conv_weight_product(inputs: Tensor, errors: Tensor, layer: Conv) -> Tensor:
    """Return the gradient of a convolution's weight, summed over the batch: [O, C, h, w], int32 (or int64, see above).

    Inputs are int8 [N, H, W, C], errors int8 [N, H', W', O].
    """
    outputs, channels = errors.shape[3], inputs.shape[3]
    height, width = layer.kernel
    if not int_kernel_is_faster(inputs.device) and height * width * channels < _WIDE_WINDOW:
        direct = float_convolution.weight_gradient(inputs, errors, layer)
        if direct is not None:
            return direct
    sums = _RowSums(outputs, height * width * channels, inputs.device)
    start = 0
    for windows in _windows(inputs, layer, as_float=not int_kernel_is_faster(inputs.device)):
        behind = start + len(windows)
        sums.add(errors[start:behind].reshape(-1, outputs), windows.flatten(0, 2))
        start = behind
    return sums.total().view(outputs, height, width, channels).permute(0, 3, 1, 2).contiguous()


def conv_input_product(errors: Tensor, weight: Tensor, layer: Conv, size: tuple[int, int]) -> Tensor:
    """Return the gradient of a convolution's input, int32 [N, H, W, C], of int8 errors [N, H', W', O].

    `size` is (H, W). Each error is multiplied with the whole window, and windows are added where they overlap.
    """
    by_integers = int_kernel_is_faster(errors.device)
    direct = None if by_integers else float_convolution.input_gradient(errors, weight, layer, size)
    if direct is not None:
        return direct
    matrix = _window_matrix(weight).t().contiguous()  # [O, K]
    # In float32 as long as sums over windows are exact there, too.
    as_float = not by_integers and int(weight.abs().sum((0, 2, 3), dtype=torch.int64).max()) < EXACT
    product, found = _float_times(matrix) if as_float else _times(matrix), []
    for block in torch.split(errors, _examples_at_once(errors.shape[1] * errors.shape[2] * matrix.shape[1])):
        columns = product(block.reshape(-1, len(matrix)))
        found.append(_folded(columns.view(*block.shape[:3], *layer.kernel, -1), layer, size).to(torch.int32))
    return joined(found)


def _times(right: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function from rows [R, K] to their exact product, int32 [R, O], with int8 [K, O]."""
    if int_kernel_is_faster(right.device):
        return lambda rows: by_int_kernel(rows, right)
    floats, cuts = right.float(), _cuts(right)
    return lambda rows: _float_product(rows.float(), floats, cuts)


def _float_times(right: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function from rows [R, K] to their product in float32, [R, O], with int8 [K, O]."""
    floats = right.float()
    return lambda rows: rows.float() @ floats


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return parts of a batch one behind another; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def _window_matrix(weight: Tensor) -> Tensor:
    """Return a weight [O, C, h, w] as the matrix [K, O] that windows are multiplied with."""
    return weight.permute(2, 3, 1, 0).reshape(-1, len(weight))


def _examples_at_once(elements_each: int) -> int:
    return max(1, _ELEMENTS // elements_each)


def _windows(inputs: Tensor, layer: Conv, *, as_float: bool) -> Iterator[Tensor]:
    """Yield the windows of a few examples at a time, [n, H', W', K]."""
    rows, columns = layer.kernel
    (down, right), channels = layer.stride, inputs.shape[3]
    padded = padding_around(inputs, layer.padding, 0)
    places = ((padded.shape[1] - rows) // down + 1) * ((padded.shape[2] - columns) // right + 1)
    for block in torch.split(padded, _examples_at_once(places * rows * columns * channels)):
        numbers = block.float() if as_float else block
        view = numbers.unfold(1, rows, down).unfold(2, columns, right)  # [n, H', W', C, h, w]
        if columns * channels < _SHORT_RUN:  # what is copied at once is longer along the width then
            yield view.permute(4, 5, 3, 0, 1, 2).flatten(0, 2).contiguous().permute(1, 2, 3, 0)
        else:
            yield view.permute(0, 1, 2, 4, 5, 3).flatten(3)


def padding_around(numbers: Tensor, padding: tuple[int, int], value: int) -> Tensor:
    """Return numbers [N, H, W, C] with rows and columns of a value around them."""
    height, width = padding
    if not height and not width:
        return numbers
    count, rows, columns, channels = numbers.shape
    padded = numbers.new_full((count, rows + 2 * height, columns + 2 * width, channels), value)
    padded[:, height : height + rows, width : width + columns] = numbers
    return padded


def _folded(columns: Tensor, layer: Conv, size: tuple[int, int]) -> Tensor:
    """Add windows [n, H', W', h, w, C] where they overlap: return [n, H, W, C]."""
    count, rows, across, height, width, channels = columns.shape
    (above, before), (down, right) = layer.padding, layer.stride
    total = columns.new_zeros(count, size[0] + 2 * above, size[1] + 2 * before, channels)
    for row in range(height):
        for column in range(width):
            target = total[:, row : row + down * rows : down, column : column + right * across : right]
            target += columns[:, :, :, row, column]
    return total[:, above : above + size[0], before : before + size[1]]


def _cuts(right: Tensor) -> list[int]:
    """Return the sizes of the parts into which the terms of a product with int8 [K, O] are cut to be exact in float32.

    They are the fewest equal parts, of those that are 1, 2, 4, ... times as many, that fit.
    """
    terms = size = len(right)
    magnitudes = right.abs() if size > _CUT else right
    while size > _CUT and any(
        int(part.sum(0, dtype=torch.int64).max()) >= EXACT for part in torch.split(magnitudes, size)
    ):
        size = -(-size // 2)
    return [min(size, terms - start) for start in range(0, terms, size)]


def _float_product(left: Tensor, right: Tensor, cuts: list[int]) -> Tensor:
    """Return the product of whole numbers, float32 [R, K] and [K, O], as int32, with terms cut as `_cuts` says."""
    if len(cuts) == 1:
        return (left @ right).to(torch.int32)
    pieces = zip(torch.split(left, cuts, 1), torch.split(right, cuts), strict=True)
    total = torch.zeros(len(left), right.shape[1], dtype=torch.int32, device=left.device)
    for one, other in pieces:
        total += (one @ other).to(torch.int32)
    return total


class _RowSums:
    """The exact sums over rows of products of [R, O] and [R, K], of which rows come piece by piece.

    The kernel for integers adds up as many rows as int32 holds whatever they are. Float32 adds up as long as magnitudes
    on the left say that it is exact. Their sums are added as integers, int64 once int32 could overflow.
    """

    def __init__(self, outputs: int, terms: int, device: torch.device) -> None:
        self._shape, self._device = (outputs, terms), device
        self._by_integers = int_kernel_is_faster(device)
        self._whole: Tensor | None = None  # what has been added up as integers, None for nothing
        self._wide = False  # whether int32 could overflow
        self._rows = 0  # of all there have been
        self._floats: Tensor | None = None
        self._pending = torch.zeros(outputs, dtype=torch.int64, device=device)  # magnitudes of what floats have
        self._magnitudes = torch.zeros(outputs, dtype=torch.int64, device=device)  # of all that floats have had

    def add(self, left: Tensor, right: Tensor) -> None:
        """Add the products of int8 rows [R, O] with rows [R, K], int8 or, where floats are faster, whole float32."""
        if self._by_integers:
            for one, other in zip(torch.split(left, MOST_TERMS), torch.split(right, MOST_TERMS), strict=True):
                self._rows += len(one)
                self._wide = self._rows > MOST_TERMS
                self._add_whole(by_int_kernel(one.t(), other))
        else:
            self._add_floats(left, right)

    def _add_floats(self, left: Tensor, right: Tensor) -> None:
        magnitudes = left.abs().sum(0, dtype=torch.int64)
        if len(left) > 1 and int(magnitudes.max()) >= EXACT:
            half = len(left) // 2
            self._add_floats(left[:half], right[:half])
            self._add_floats(left[half:], right[half:])
            return
        if int((self._magnitudes + magnitudes).max()) >= _WIDEST:
            self._wide = True
        self._magnitudes += magnitudes
        if int((self._pending + magnitudes).max()) >= EXACT:
            self._flush()
        self._pending += magnitudes
        transposed = left.float().t()
        self._floats = (
            transposed @ right.float() if self._floats is None else self._floats.addmm_(transposed, right.float())
        )

    def _add_whole(self, sums: Tensor) -> None:
        wide = sums.to(torch.int64) if self._wide else sums
        self._whole = wide if self._whole is None else self._whole.to(wide.dtype).add_(wide)

    def _flush(self) -> None:
        if self._floats is not None:
            self._add_whole(self._floats.to(torch.int32))
            self._floats = None
        self._pending.zero_()

    def total(self) -> Tensor:
        """Return the sums."""
        self._flush()
        return torch.zeros(self._shape, dtype=torch.int32, device=self._device) if self._whole is None else self._whole
