"""NITI's weight update: a step whose largest entry is about 2^mu of 127 levels, whatever the gradient's scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlab.errors import UserError
from fedlab.models.integer.rounding import LARGEST, ShiftRounding, bit_width, mantissas, shifted

_DECAY_BITS = 15
FRACTION_BITS = 8  # of 16-bit weights
_WIDE_LARGEST = LARGEST << FRACTION_BITS
_MOST_MOVED = 2 * LARGEST  # levels by which a weight can move before it is clipped


@dataclass(frozen=True, kw_only=True)
class MuSchedule:
    """The learning rate of NITI by epoch, counted from 0: (first epoch, mu), the first of them from epoch 0."""

    steps: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        epochs = [epoch for epoch, _ in self.steps]
        if not epochs or epochs[0] != 0 or epochs != sorted(set(epochs)):
            raise UserError(f"mu schedule: epochs {epochs}, expected rising ones that begin with 0")
        for _, mu in self.steps:
            if not -7 <= mu <= 7:
                raise UserError(f"mu schedule: mu {mu}, expected a whole number from -7 to 7")

    def at(self, epoch: int) -> int:
        """Return mu in an epoch."""
        return next(mu for first, mu in reversed(self.steps) if epoch >= first)


def schedule_of(steps: Sequence[Sequence[int]] | int) -> MuSchedule:
    """Return a schedule of a file: one mu, or pairs of an epoch and the mu from there on. Raises UserError."""
    if isinstance(steps, int):
        return MuSchedule(steps=((0, steps),))
    if any(len(step) != 2 for step in steps):
        raise UserError("mu schedule: expected pairs of an epoch and a mu")
    return MuSchedule(steps=tuple((epoch, mu) for epoch, mu in steps))


def gradient_step(gradient: Tensor, mu: int, rounding: ShiftRounding, decayed: Tensor | None = None) -> Tensor:
    """Return what is taken from a weight, int32 or int64, for its summed gradient; 0 for a gradient of zeros.

    A gradient narrower than mu bits is taken as it is. `decayed` is a weight's int8 mantissa, if it decays: it is added
    to the gradient times 2^(width - 15), truncated.
    """
    width = bit_width(gradient)
    if not width and not bool(gradient.any()):
        return torch.zeros_like(gradient)
    if decayed is not None:
        gradient = gradient + _decay(decayed, width).to(gradient.dtype)
    return shifted(gradient, max(0, width - mu), rounding)


def _decay(weight: Tensor, width: int) -> Tensor:
    numbers = weight.to(torch.int64)
    if width >= _DECAY_BITS:
        return numbers << (width - _DECAY_BITS)
    return numbers.div(2 ** (_DECAY_BITS - width), rounding_mode="trunc")


def updated(weight: Tensor, gradient: Tensor, mu: int, rounding: ShiftRounding, *, decay: bool = False) -> Tensor:
    """Return an int8 weight behind a step, clipped to -127..127."""
    step = gradient_step(gradient, mu, rounding, weight if decay else None)
    narrow_step = step.clamp_(-_MOST_MOVED, _MOST_MOVED).to(torch.int16)  # half of the bytes in what follows
    return torch.sub(weight, narrow_step, out=narrow_step).clamp_(-LARGEST, LARGEST).to(torch.int8)


def updated_wide(weight: Tensor, gradient: Tensor, mu: int, rounding: ShiftRounding, *, decay: bool = False) -> Tensor:
    """Return a 16-bit weight behind a step; int16, whose lowest 8 bits are a fraction of a level.

    The step keeps 8 more bits than `updated` takes. (Inferred: the function for it is missing in NITI's repository.)
    """
    step = gradient_step(gradient, mu + FRACTION_BITS, rounding, narrow(weight) if decay else None)
    return (weight.to(step.dtype) - step).clamp_(-_WIDE_LARGEST, _WIDE_LARGEST).to(torch.int16)


def widened(weight: Tensor) -> Tensor:
    """Return an int8 weight as the 16-bit weight that `narrow` makes it of."""
    return weight.to(torch.int16) << FRACTION_BITS


def narrow(weight: Tensor) -> Tensor:
    """Return the int8 weight of a 16-bit one: its pseudo-stochastic shift."""
    return mantissas(weight.to(torch.int32), FRACTION_BITS, "pseudo-stochastic")
