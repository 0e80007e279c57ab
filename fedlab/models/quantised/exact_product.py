"""Exact products of int8 matrices, by whichever kernel is faster: torch's own for integers, or that of float32.

Both give the same integers, so a result never depends on the choice. Torch's `_int_mm` is fast where the processor has
instructions for it (VNNI, AMX, a GPU's tensor cores) and some 50 times slower than float32 elsewhere. In float32 a sum
of products of int8 is exact as long as no partial sum is above 2^24, whatever the order, because all of them are whole
numbers: products of up to 1,040 terms are computed at once, and their sums are added as int32.

Sizes: R rows, K terms of a sum, N columns.
"""

import functools

import torch
from torch import Tensor

from fedlab.common.clock import stopwatch

LARGEST = 127  # of a quantised number; -128 is left out, so that the range is symmetric
MOST_TERMS = (2**31 - 1) // LARGEST**2  # of a sum that int32 holds
_TERMS = 2**24 // LARGEST**2  # of a sum that float32 holds, in any order
_ROWS, _MULTIPLE = 17, 8  # what a GPU's `_int_mm` asks for: at least 17 rows, other sizes multiples of 8
_TRIED = (64, 256, 256)  # R, K and N of the product by which the kernels are compared
_REPEATS = 3
_TENSOR_CORES = (7, 5)  # the first compute capability whose tensor cores multiply int8


def exact_product(left: Tensor, right: Tensor) -> Tensor:
    """Return the exact product, int32 [R, N], of int8 matrices [R, K] and [K, N] without -128, K up to `MOST_TERMS`."""
    if int_kernel_is_faster(left.device):
        return by_int_kernel(left, right)
    return by_float_kernel(left, right)


def rounded_product(left: Tensor, right: Tensor) -> Tensor:
    """Return the exact product as float32, rounded once: `exact_product(left, right).float()`, often without int32."""
    if left.shape[1] > _TERMS or int_kernel_is_faster(left.device):
        return exact_product(left, right).float()
    return left.float() @ right.float()


@functools.lru_cache(maxsize=64)
def int_kernel_is_faster(device: torch.device) -> bool:
    """Tell which kernel a device is faster at: of a GPU by its capability, of a processor by trying a small product.

    It is found out once a process: on a processor without such instructions that takes some 50 milliseconds.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _TENSOR_CORES
    rows, terms, columns = _TRIED
    left, right = torch.ones(rows, terms, dtype=torch.int8), torch.ones(terms, columns, dtype=torch.int8)

    def seconds(kernel: functools.partial[Tensor]) -> float:
        kernel()  # what is set up in a first call is not compared
        found = []
        for _ in range(_REPEATS):
            elapsed = stopwatch()
            kernel()
            found.append(elapsed())
        return min(found)

    return seconds(functools.partial(by_int_kernel, left, right)) < seconds(
        functools.partial(by_float_kernel, left, right)
    )


def by_int_kernel(left: Tensor, right: Tensor) -> Tensor:
    """Return the product by torch's `_int_mm`, among zeros where it does not take the sizes.

    On a processor these are sizes of 1: it may read a matrix by the stride of a dimension in which it never moves.
    """
    if left.device.type == "cpu" and min(*left.shape, right.shape[1]) > 1:
        return torch._int_mm(left, right)
    return by_padded_int_kernel(left, right)


def by_padded_int_kernel(left: Tensor, right: Tensor) -> Tensor:
    """Return the product by torch's `_int_mm` of the matrices among zeros, in sizes that a GPU takes."""
    rows, columns = len(left), right.shape[1]
    padded_terms, padded_columns = _padded(left.shape[1]), _padded(columns)
    left = _among_zeros(left, max(_ROWS, rows), padded_terms)
    right = _among_zeros(right, padded_terms, padded_columns)
    return torch._int_mm(left, right)[:rows, :columns]


def by_float_kernel(left: Tensor, right: Tensor) -> Tensor:
    """Return the product by float32's kernel, as many terms at a time as are exact."""
    parts = list(zip(torch.split(left, _TERMS, 1), torch.split(right, _TERMS, 0), strict=True))
    total = _exact_sums(*parts[0])
    for part in parts[1:]:
        total += _exact_sums(*part)
    return total


def _exact_sums(left: Tensor, right: Tensor) -> Tensor:
    return (left.float() @ right.float()).to(torch.int32)


def _padded(size: int) -> int:
    return -(-size // _MULTIPLE) * _MULTIPLE


def _among_zeros(matrix: Tensor, rows: int, columns: int) -> Tensor:
    if matrix.shape == (rows, columns):
        return matrix
    wide = matrix.new_zeros(rows, columns)
    wide[: matrix.shape[0], : matrix.shape[1]] = matrix
    return wide
