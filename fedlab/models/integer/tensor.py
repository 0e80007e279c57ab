"""Numbers of NITI: int8 mantissas with one exponent for the whole tensor, and how floats become such."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlab.models.integer.rounding import LARGEST

KEPT_BITS = 7  # of a mantissa, beside its sign


@dataclass(frozen=True, kw_only=True)
class IntegerTensor:
    """The numbers mantissa * 2^exponent; mantissas are int8, from -127 to 127."""

    mantissa: Tensor
    exponent: int

    def floats(self) -> Tensor:
        """Return the numbers as float32."""
        return torch.ldexp(self.mantissa.float(), torch.tensor(self.exponent))


def stretched(floats: Tensor) -> IntegerTensor:
    """Return floats as mantissas whose largest is 127; the exponent is that of the next power of two above the largest.

    So the numbers grow by up to almost 2. NITI makes weights in this way, and its first version inputs as well.
    """
    largest, exponent = _range_of(floats)
    if not largest:
        return IntegerTensor(mantissa=torch.zeros_like(floats, dtype=torch.int8), exponent=0)
    mantissa = (floats.double() / largest * LARGEST).round_().to(torch.int8)
    return IntegerTensor(mantissa=mantissa, exponent=exponent)


def nearest(floats: Tensor, exponent: int | None = None) -> IntegerTensor:
    """Return floats as the nearest mantissas for an exponent, without one for that of their largest (within 127)."""
    _, fitting = _range_of(floats)
    chosen = fitting if exponent is None else exponent
    scaled = torch.ldexp(floats.double(), torch.tensor(-chosen))
    return IntegerTensor(mantissa=scaled.round_().clamp_(-LARGEST, LARGEST).to(torch.int8), exponent=chosen)


def _range_of(floats: Tensor) -> tuple[float, int]:
    """Return the largest magnitude r, and ceil(log2 r) - 7."""
    largest = float(floats.abs().max()) if floats.numel() else 0.0
    if not largest:
        return 0.0, 0
    fraction, power = math.frexp(largest)  # the largest is fraction * 2^power, the fraction from 0.5 to below 1
    return largest, power - (fraction == 0.5) - KEPT_BITS
