"""int8 weights and activations with exact integer products, and the gradient of what was multiplied.

As in SwitchBack (Wortsman et al. 2023, https://arxiv.org/abs/2304.13013): the product and the gradient of its input are
computed in int8, and the gradient of the weight, where there is one, in higher precision. Here the matrix is frozen and
has none. A number is a whole number from -127 to 127 times a scale. A row of states has a scale of its own, the largest
of its numbers over 127, found when it is multiplied; so has each row of the matrix, that is, each output channel:

    y[r, o] = (sum over i of x[r, i] w[o, i]) x_scale[r] w_scale[o]

The gradient of the input sums over outputs, whose scales differ, so that they are taken into the gradient of y before
that is quantised in its turn; the same whole numbers w serve both. As rows are quantised alone and sums are exact, what
a row gives does not depend on the rows beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlab.errors import UserError
from fedlab.models.quantised.base import QuantisedMatrix
from fedlab.models.quantised.exact_product import LARGEST, MOST_TERMS, rounded_product
from fedlab.workload.passes import Precision


@dataclass(frozen=True, kw_only=True)
class Int8Matrix(QuantisedMatrix):
    """A matrix [O, I] of int8 numbers, whose row o is scaled by `scales[o]`."""

    precision: ClassVar[Precision] = "int8"
    values: Tensor  # int8 [O, I], from -127 to 127
    scales: Tensor  # float32 [O]

    @classmethod
    def of(cls, weight: Tensor) -> "Int8Matrix":
        """Quantise a matrix; raises UserError if its sums can exceed int32."""
        if max(weight.shape) > MOST_TERMS:
            shape = " x ".join(map(str, weight.shape))
            raise UserError(f"backbone.precision = 'int8': a matrix of {shape}, accepted: up to {MOST_TERMS} each way")
        values, scales = quantised_rows(weight)
        return cls(values=values, scales=scales.squeeze(-1))

    @property
    def parts(self) -> Mapping[str, Tensor]:
        """Return the whole numbers and the scales."""
        return {"values": self.values, "scales": self.scales}

    def product(self, states: Tensor) -> Tensor:
        """Multiply states [..., I], whose rows are quantised for it: return [..., O], in the type of the states."""
        found: Tensor = _Int8Product.apply(states, self.values, self.scales)  # type: ignore[no-untyped-call]
        return found

    def dequantised(self) -> Tensor:
        """Return it as float32, [O, I]."""
        return self.values.float() * self.scales[:, None]


def quantised_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the int8 numbers [R, I] of rows [R, I] and their scales, float32 [R, 1].

    A number is off by at most half its row's scale. Numbers that are not finite make their row's scale so.
    """
    rows = rows.float()
    scales = rows.abs().amax(-1, keepdim=True) / LARGEST
    divisors = torch.where(scales > 0, scales, 1.0)
    # Where a scale is so small that it is itself rounded, a quotient can be larger.
    values = (rows / divisors).round_().clamp_(-LARGEST, LARGEST).to(torch.int8)
    return values, scales


class _Int8Product(torch.autograd.Function):
    """The product of rows that are quantised with a quantised matrix; the way back is another such product."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, values: Tensor, scales: Tensor) -> Tensor:
        ctx.save_for_backward(values, scales)
        integers, row_scales = quantised_rows(states.reshape(-1, states.shape[-1]))
        sums = rounded_product(integers, values.t())
        return sums.mul_(row_scales).mul_(scales).to(states.dtype).view(*states.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        values, scales = ctx.saved_tensors
        (gradient,) = upstream
        integers, row_scales = quantised_rows(gradient.reshape(-1, gradient.shape[-1]) * scales)
        sums = rounded_product(integers, values)
        return sums.mul_(row_scales).to(gradient.dtype).view(*gradient.shape[:-1], -1), None, None
