"""Which power of two the int32 sums of a layer are shifted by: found for every batch, or reused (self-adaptive).

Finding a shift takes a pass over all sums before they can be made int8. It rarely changes, so Mandheling finds it now
and then only ("self-adaptive rescaling", https://arxiv.org/abs/2206.07509). Its thresholds and intervals were not
published in what we have; the rule here is that of Adaptive Fixed-Point (Zhang et al. 2020,
https://arxiv.org/abs/1911.00361) with the constants of a community implementation. What a reused shift cannot hold is
clipped to 127 and counted, and if that is more than `SATURATED_SHARE` the shift is found again with the next batch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fedlab.models.integer.rounding import bits_of
from fedlab.models.integer.tensor import KEPT_BITS

MOVING = 0.04  # of the moving average of shifts
NUMERATOR, ERROR_FACTOR, DRIFT_FACTOR, LESS = 0.1, 100.0, 0.04, 2.0  # of the interval
WARM_UP_SHARE = 0.01  # of the first epoch, in which every batch finds its shifts
SATURATED_SHARE = 0.001  # of the numbers of a tensor (own)


@dataclass(frozen=True, kw_only=True)
class ShiftHistory:
    """What is known of the shifts of one tensor of a layer."""

    shift: int
    average: float  # moving, of the shifts that were found
    due: int  # step at which it is found again
    found: int = 1  # times that it was found
    reused: int = 0  # times that it was not
    changes: tuple[tuple[int, int], ...] = ()  # (step, shift) of the first one and of each that differed from the last
    saturated: int = 0  # numbers that were clipped


def every_batch_shift(largest: int) -> int:
    """Return by how many bits sums of a largest magnitude are shifted to 7 bits."""
    return max(0, bits_of(largest) - KEPT_BITS)


def quantisation_distance(magnitude: float, kept: float) -> float:
    """Return the distance d of Adaptive Fixed-Point: of the sum of magnitudes before, and after quantisation."""
    return math.log2(1 + abs(magnitude - kept) / magnitude) if magnitude else 0.0


def interval(history: ShiftHistory, distance: float, steps_in_epoch: int) -> int:
    """Return for how many steps a shift is used, at most an epoch."""
    worst = max(ERROR_FACTOR * distance**2, DRIFT_FACTOR * abs(history.shift - history.average))
    if not worst:
        return steps_in_epoch
    return max(1, min(steps_in_epoch, round(NUMERATOR / worst - LESS)))


def found_again(
    history: ShiftHistory | None, shift: int, distance: float, *, step: int, steps_in_epoch: int
) -> ShiftHistory:
    """Return the history behind a step, counted from 0, that found a shift."""
    if history is None:
        history = ShiftHistory(shift=shift, average=float(shift), due=0, found=0, changes=((step, shift),))
    elif history.shift != shift:
        history = replace(history, shift=shift, changes=(*history.changes, (step, shift)))
    history = replace(history, average=MOVING * shift + (1 - MOVING) * history.average, found=history.found + 1)
    if step >= steps_in_epoch:
        steps = steps_in_epoch  # once an epoch
    elif step < WARM_UP_SHARE * steps_in_epoch:
        steps = 1
    else:
        steps = interval(history, distance, steps_in_epoch)
    return replace(history, due=step + steps)


def reused(history: ShiftHistory, saturated: int, numbers: int, *, step: int) -> ShiftHistory:
    """Return the history behind a step that used the last shift, and clipped some of the numbers of its tensor."""
    due = step + 1 if saturated > SATURATED_SHARE * numbers else history.due
    return replace(history, reused=history.reused + 1, saturated=history.saturated + saturated, due=due)


@dataclass(kw_only=True)
class Rescaling:
    """The shifts of the tensors of a network over the steps of a training, by the tensors' names.

    Without `adaptive` every batch finds its own, and histories say which they were.
    """

    adaptive: bool = False
    steps_in_epoch: int = 1
    step: int = 0
    histories: dict[str, ShiftHistory] = field(default_factory=dict)

    def known(self, name: str) -> int | None:
        """Return the shift to reuse for a tensor at this step, None if it has to be found."""
        history = self.histories.get(name)
        if not self.adaptive or history is None or self.step >= history.due:
            return None
        return history.shift

    def record_found(self, name: str, shift: int, magnitude: float, kept: float) -> None:
        """Record a shift that was found, with the sums of magnitudes before and after."""
        self.histories[name] = found_again(
            self.histories.get(name),
            shift,
            quantisation_distance(magnitude, kept),
            step=self.step,
            steps_in_epoch=self.steps_in_epoch,
        )

    def record_reused(self, name: str, saturated: int, numbers: int) -> None:
        """Record that the last shift was used."""
        self.histories[name] = reused(self.histories[name], saturated, numbers, step=self.step)


def skipped_share(histories: Mapping[str, ShiftHistory]) -> float:
    """Return the share of passes that looked for no shift."""
    skipped = sum(history.reused for history in histories.values())
    passes = skipped + sum(history.found for history in histories.values())
    return skipped / passes if passes else 0.0
