"""int4 weights: what is stored takes 4 bits a number and 2 bytes a group, and products are computed in floats.

A row is cut into groups of 128 columns, the last one shorter. A number is a whole number from -7 to 7 times its group's
scale, which is the group's largest over 7, rounded to bfloat16. Two numbers share a byte: that of an even column is in
its lower half, and 8 is added to each. The matrix is dequantised for each product, and once more on the way back, so
that its floats are never kept. States stay as they are: products are in their type, bfloat16 where the processor is
faster at it, else float32 (`fedlab.models.precision`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.quantised.base import QuantisedMatrix
from fedlab.workload.passes import Precision

GROUP = 128  # columns
_LARGEST, _SHIFT, _BITS = 7, 8, 4


@dataclass(frozen=True, kw_only=True)
class Int4Matrix(QuantisedMatrix):
    """A matrix [O, I] of 4-bit numbers; P is I / 2 and G is I / 128, both rounded up."""

    precision: ClassVar[Precision] = "int4"
    packed: Tensor  # uint8 [O, P]
    scales: Tensor  # bfloat16 [O, G]

    @classmethod
    def of(cls, weight: Tensor) -> "Int4Matrix":
        """Quantise a matrix: a number is off by at most half its group's scale."""
        columns = weight.shape[1]
        grouped = F.pad(weight.float(), (0, -columns % GROUP)).reshape(len(weight), -1, GROUP)  # [O, G, 128]
        scales = (grouped.abs().amax(-1) / _LARGEST).to(torch.bfloat16)
        divisors = scales.float().masked_fill(scales == 0, 1.0)[..., None]
        numbers = (grouped / divisors).round_().clamp_(-_LARGEST, _LARGEST).flatten(1)[:, : columns + columns % 2]
        shifted = (numbers + _SHIFT).to(torch.uint8)
        return cls(packed=shifted[:, 0::2] | shifted[:, 1::2] << _BITS, scales=scales)

    @property
    def parts(self) -> Mapping[str, Tensor]:
        """Return the packed numbers and the scales."""
        return {"packed": self.packed, "scales": self.scales}

    def product(self, states: Tensor) -> Tensor:
        """Multiply states [..., I]: return [..., O], computed in the type of the states."""
        found: Tensor = _Int4Product.apply(states, self.packed, self.scales)  # type: ignore[no-untyped-call]
        return found

    def dequantised(self) -> Tensor:
        """Return it as float32, [O, 2P]: behind an odd number of columns there is one of zeros."""
        return _floats(self.packed, self.scales, torch.float32)


def _floats(packed: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the numbers [O, 2P] in a type, rounded once."""
    halves = torch.stack((packed & (2**_BITS - 1), packed >> _BITS), -1).flatten(1)
    numbers = halves.to(torch.float32).sub_(_SHIFT)
    spread = scales.float().repeat_interleave(GROUP, dim=1)[:, : numbers.shape[1]]
    return numbers.mul_(spread).to(dtype)


class _Int4Product(torch.autograd.Function):
    """The product with a matrix that is dequantised on the way there and on the way back."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, packed: Tensor, scales: Tensor) -> Tensor:
        ctx.save_for_backward(packed, scales)
        ctx.columns = states.shape[-1]
        return F.linear(states, _floats(packed, scales, states.dtype)[:, : ctx.columns])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        packed, scales = ctx.saved_tensors
        (gradient,) = upstream
        return gradient @ _floats(packed, scales, gradient.dtype)[:, : ctx.columns], None, None
