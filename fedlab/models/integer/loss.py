"""The gradient of the cross entropy in integers alone, after NITI: a softmax in base 2, or a Taylor series.

Logits are s * 2^e, as int8 mantissas s. For e > -7 the exponential is 2^z, of whole z at most 10 below the largest; for
smaller e, where all logits are below 1, it is 1 + x + x^2 / 2, scaled to whole numbers. A row of the gradient is scaled
to 2^11, has its sum taken from its target, so that it sums to about 0, and is shifted right by 4 to 7 bits with
stochastic rounding. The gradient is of the sum over a batch, not of its mean, and its exponent is taken as 0. Divisions
truncate, as in NITI's first version (the current one divides as floats there).
"""

import torch
from torch import Tensor

from fedlab.models.integer.rounding import mantissas
from fedlab.models.integer.tensor import IntegerTensor

_LOG2_E, _LOG2_E_BITS = 47274, 15  # log2(e) = 47274 / 2^15
_DEPTH = 10  # bits between the largest exponential and the smallest that is not 0
_SERIES_BELOW = -6  # exponents
_MOST_EXPONENT = 32  # two logits that differ are more than `_DEPTH` bits apart long before
_LEAST_EXPONENT = -24  # below it products exceed int64: mantissas are shifted to it
_SCALE_BITS, _SHIFT = 11, 4
DRAWS = 2**_SHIFT  # of the stochastic rounding: numbers from 0 to 15


def softmax_gradient(logits: IntegerTensor, labels: Tensor, draws: Tensor) -> IntegerTensor:
    """Return the gradient of logits [N, L], of labels int64 [N] and draws [N, L], whole numbers from 0 to 15."""
    numbers = logits.mantissa.to(torch.int64)
    if logits.exponent < _SERIES_BELOW:
        exponentials = _series(numbers, logits.exponent)
    else:
        exponentials = _powers_of_two(numbers, logits.exponent)
    sums = exponentials.sum(1, keepdim=True)
    gradient = exponentials.bitwise_left_shift_(_SCALE_BITS).div_(sums, rounding_mode="trunc")
    rows = torch.arange(len(gradient), device=gradient.device)
    gradient[rows, labels] -= gradient.sum(1)
    return IntegerTensor(mantissa=mantissas(gradient, _SHIFT, "stochastic", draws), exponent=0)


def _powers_of_two(numbers: Tensor, exponent: int) -> Tensor:
    powers = (numbers * _LOG2_E).div_(2**_LOG2_E_BITS, rounding_mode="trunc")
    if exponent >= 0:
        powers = powers.bitwise_left_shift_(min(exponent, _MOST_EXPONENT))
    else:
        powers = powers.div_(2**-exponent, rounding_mode="trunc")
    powers = (powers - powers.amax(1, keepdim=True) + _DEPTH).clamp_(min=0)
    return torch.bitwise_left_shift(torch.ones_like(powers), powers) - 1


def _series(numbers: Tensor, exponent: int) -> Tensor:
    if exponent < _LEAST_EXPONENT:
        numbers = numbers.div(2 ** min(_LEAST_EXPONENT - exponent, _MOST_EXPONENT), rounding_mode="trunc")
        exponent = _LEAST_EXPONENT
    return (numbers * numbers).add_(numbers * 2 ** (1 - exponent)).add_(2 ** (1 - 2 * exponent))
