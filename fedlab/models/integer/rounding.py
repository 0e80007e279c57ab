"""Right shifts of whole numbers, rounded on sign and magnitude, and results of at most 8 bits.

A number x is cut to q = x / 2^s, truncated toward zero, and p = |x - q 2^s| decides whether the magnitude of q grows by
one. Floors would not do: they move all negative numbers by one level, a drift of all weights. Source of the rules: NITI
(Wang et al. 2020, https://arxiv.org/abs/2009.13108) and its code.

* nearest: up if p >= 2^(s-1);
* pseudo-stochastic: up if hi > lo, where hi = p >> (s // 2), and lo are the lowest s // 2 bits of p, doubled if s is
  odd. It takes no random numbers, and is biased toward zero for small even s;
* stochastic: up if p > r, where r is drawn uniformly from 0 to 2^s - 1.

All are computed block by block, so that what lies between is in the cache; each element is alone, so that the blocks
change nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

ShiftRounding = Literal["nearest", "pseudo-stochastic", "stochastic"]
LARGEST = 127  # of a mantissa; -128 is left out
_BLOCK = 2**16  # numbers
_MOST_SHIFT = 30  # of an int32; more is shifted as int64


def bit_width(numbers: Tensor) -> int:
    """Return ceil(log2 of the largest magnitude), 0 where all are 0."""
    return bits_of(largest_magnitude(numbers))


def bits_of(largest: int) -> int:
    """Return ceil(log2(largest)), exactly; 0 for 0."""
    return max(0, largest - 1).bit_length()


def largest_magnitude(numbers: Tensor) -> int:
    """Return the largest magnitude of whole numbers, 0 where there are no numbers."""
    if not numbers.numel():
        return 0
    least, most = numbers.aminmax()
    return max(-int(least), int(most))


def shifted(numbers: Tensor, shift: int, rounding: ShiftRounding, draws: Tensor | None = None) -> Tensor:
    """Return int32 or int64 numbers, of any shape, over 2^shift, rounded, in their type; a shift of 0 changes nothing.

    `draws`, for stochastic rounding alone, has the numbers' shape; its numbers are from 0 to 2^shift - 1.
    """
    return _by_blocks(numbers, shift, rounding, draws, numbers.new_empty(numbers.shape), _signed)


def mantissas(
    numbers: Tensor, shift: int, rounding: ShiftRounding, draws: Tensor | None = None, *, positive: bool = False
) -> Tensor:
    """Return what `shifted` does, clipped to -127..127, as int8; with `positive` negative numbers become 0."""
    result = numbers.new_empty(numbers.shape, dtype=torch.int8)
    return _by_blocks(numbers, shift, rounding, draws, result, _positive if positive else _clipped)


Finish = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]


def _by_blocks(
    numbers: Tensor, shift: int, rounding: ShiftRounding, draws: Tensor | None, result: Tensor, finish: Finish
) -> Tensor:
    assert not numbers.is_floating_point()
    assert shift >= 0
    source = numbers.contiguous().view(-1)
    target = result.view(-1)
    drawn = None if draws is None else draws.contiguous().view(-1)
    for start in range(0, len(source), _BLOCK):
        block = source[start : start + _BLOCK]
        if shift > _MOST_SHIFT:
            block = block.to(torch.int64)
        if rounding == "nearest":
            rounded = partial(_nearest, shift=shift)
        elif rounding == "pseudo-stochastic":
            rounded = partial(_pseudo_stochastic, shift=shift)
        else:
            assert drawn is not None
            rounded = partial(_stochastic, shift=shift, draws=drawn[start : start + _BLOCK].to(block.dtype))
        target[start : start + _BLOCK] = finish(block, rounded)
    return result


def _signed(block: Tensor, rounded: Callable[[Tensor], Tensor]) -> Tensor:
    return rounded(block.abs()).mul_(block.sign())


def _clipped(block: Tensor, rounded: Callable[[Tensor], Tensor]) -> Tensor:
    return rounded(block.abs()).clamp_(max=LARGEST).mul_(block.sign())


def _positive(block: Tensor, rounded: Callable[[Tensor], Tensor]) -> Tensor:
    return rounded(block.clamp(min=0)).clamp_(max=LARGEST)


def _nearest(magnitudes: Tensor, shift: int) -> Tensor:
    if shift < 2:  # a half is rounded up without adding to what may be the largest int32
        return magnitudes.sub_(magnitudes.bitwise_right_shift(1)) if shift else magnitudes
    return magnitudes.bitwise_right_shift_(shift - 1).add_(1).bitwise_right_shift_(1)


def _pseudo_stochastic(magnitudes: Tensor, shift: int) -> Tensor:
    """Add all ones minus lo to the bits from s // 2 up: that carries into the upper ones exactly where hi > lo."""
    if shift < 2:
        return _nearest(magnitudes, shift)  # the same, within int32
    lower = shift // 2
    upper = shift - lower
    low = magnitudes.bitwise_and(2**lower - 1)
    if shift % 2:
        low.bitwise_left_shift_(1)
    return magnitudes.bitwise_right_shift_(lower).sub_(low).add_(2**upper - 1).bitwise_right_shift_(upper)


def _stochastic(magnitudes: Tensor, shift: int, draws: Tensor) -> Tensor:
    """Add all ones minus r: that carries exactly where p > r."""
    whole = magnitudes.bitwise_right_shift(shift)
    rest = magnitudes.bitwise_and_(2**shift - 1)
    return whole.add_(rest.gt(draws))
