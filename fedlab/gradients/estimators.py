"""Derivatives along a direction, from losses near a point.

With L(w) the loss, v a direction and h a step, all errors are of rounding and of h alone:

* two-sided: (L(w + h v) - L(w - h v)) / 2h, error O(h^2);
* one-sided: (L(w + h v) - L(w)) / h, error O(h);
* exact: forward-mode differentiation, no h (Baydin et al. 2022, https://arxiv.org/abs/2202.08587).

As losses in float32 have seven digits, their differences are taken in double precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fedlab.common.short_text import short
from fedlab.common.units import is_number
from fedlab.errors import UserError

Estimator = Literal["two-sided", "one-sided", "exact"]
Scale = Literal["absolute", "relative"]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How derivatives along directions are estimated; raises UserError for what cannot be.

    `h` is the step in units of the direction, 0.01 as in FwdLLM's artifact. With the scale `relative` it is a share of
    the trained weights' norm: the step in units of the direction is h |w| / |v|, or h / |v| where w is zero. FwdLLM's
    0.01 is absolute, and with a million parameters moves the weights by half of their norm: a chord, not a derivative.
    """

    estimator: Estimator = "two-sided"
    h: float = 0.01
    scale: Scale = "absolute"

    def __post_init__(self) -> None:
        """Check the settings."""
        for key, accepted in (("estimator", get_args(Estimator)), ("scale", get_args(Scale))):
            if getattr(self, key) not in accepted:
                value = short(getattr(self, key))
                raise UserError(f"client.options.{key}: {value} is unknown; accepted: {', '.join(accepted)}")
        if not is_number(self.h) or not 0 < self.h <= 1e6:
            raise UserError(f"client.options.h: {short(self.h)} is not a positive number, at most 1e6")

    @property
    def offsets(self) -> tuple[int, ...]:
        """Return at which multiples of h along a direction the loss is taken; none of the exact derivative."""
        return {"two-sided": (1, -1), "one-sided": (1,), "exact": ()}[self.estimator]

    def step(self, weights_norm: float, direction_norm: float) -> float:
        """Return the step along a direction, in units of it."""
        if self.scale == "absolute" or direction_norm == 0:
            return self.h
        return self.h * (weights_norm or 1.0) / direction_norm

    def passes(self, probes: int) -> int:
        """Return how many forward passes of a batch the derivatives along a number of directions take.

        Of the exact one two a direction: each product with the weights is made with the states and with their change.
        """
        if self.estimator == "one-sided":
            return probes + 1
        return 2 * probes


def two_sided(above: np.ndarray, below: np.ndarray, steps: Sequence[float]) -> np.ndarray:
    """Return derivatives [N] from the losses a step [N] above and below a point: float64."""
    return np.asarray((above.astype(np.float64) - below) / (2 * np.asarray(steps)))


def one_sided(above: np.ndarray, here: np.ndarray, steps: Sequence[float]) -> np.ndarray:
    """Return derivatives [N] from the losses a step [N] above a point and at it: float64."""
    return np.asarray((above.astype(np.float64) - here) / np.asarray(steps))
