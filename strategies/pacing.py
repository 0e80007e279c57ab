"""Variance-controlled pacing: whether the directions probed so far are enough for a step, or it is asked for again.

The derivatives of a step, in the order they came, are cut into two halves, each of which gives a mean gradient m1, m2.
FwdLLM looks at their variance, the mean of (m1 - m2)^2 / 2 over the values of one tensor, and steps once it is at most
a threshold: 0.1 for DistilBERT and ALBERT, 0.2 for BERT and RoBERTa-large. This statistic grows with the square of the
gradient, so that a threshold suits one scale of the weights. The cosine of the two halves does not. Of N directions
over P values it is about N / (N + 2P) if all clients have one gradient, and that of two unrelated vectors varies by
1 / sqrt(P): the unit of its threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from fedlab.gradients.directions import Distribution
from fedlab.gradients.sums import Probed, counts_within, weighted_sum

Pace = Literal["cosine", "variance", "none"]
Verdict = Literal["accepted", "repeated", "capped"]
_THRESHOLDS = {"cosine": 1.0, "variance": 0.1, "none": 0.0}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether a step is made (`accepted`, or `capped` as it was asked for often enough) or `repeated`, and why."""

    verdict: Verdict
    variance: float | None
    cosine: float | None


@dataclass(frozen=True, kw_only=True)
class Pacing:
    """The rule of a run; raises ValueError for a value that cannot be.

    `threshold` is the largest variance, or the smallest cosine in units of 1 / sqrt(P). A step is asked for at most
    `most_cycles` times.
    """

    pacing: Pace = "cosine"
    threshold: float | None = None
    most_cycles: int = 5

    def __post_init__(self) -> None:
        """Check the rule."""
        if self.pacing not in get_args(Pace):
            raise ValueError(f"pacing: {self.pacing!r}, expected one of {', '.join(get_args(Pace))}")
        if self.threshold is not None and not 0 < self.threshold <= 1e30:
            raise ValueError(f"threshold: {self.threshold}, expected a positive number")
        if not 1 <= self.most_cycles <= 10_000:
            raise ValueError(f"most_cycles: {self.most_cycles}, expected 1 to 10000")

    @property
    def limit(self) -> float:
        """Return the threshold, by default FwdLLM's for DistilBERT, or one standard deviation of the cosine."""
        return _THRESHOLDS[self.pacing] if self.threshold is None else self.threshold

    @property
    def repeats(self) -> bool:
        """Tell whether a step may be asked for again."""
        return self.pacing != "none" and self.most_cycles > 1

    def judge(self, pool: "Pool", watched: slice) -> Judgement:
        """Judge what was probed for a step; the variance is that of the `watched` values."""
        halves = pool.halves()
        if halves is None:
            return Judgement(verdict=self._verdict(pool, enough=False), variance=None, cosine=None)
        first, second = halves
        variance = float(np.mean(np.square(first[watched] - second[watched])) / 2)
        cosine = cosine_of(first, second)
        by_cosine = cosine is None or cosine >= self.limit / np.sqrt(len(first))
        enough = by_cosine if self.pacing == "cosine" else variance <= self.limit
        return Judgement(verdict=self._verdict(pool, enough=bool(enough)), variance=variance, cosine=cosine)

    def _verdict(self, pool: "Pool", *, enough: bool) -> Verdict:
        if enough or self.pacing == "none":
            return "accepted"
        return "capped" if pool.cycles >= self.most_cycles else "repeated"


def cosine_of(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the cosine of two vectors, None where one is zero."""
    product = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / product if product > 0 else None


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What was probed for a step: the probes of each cycle; and the sums over each half of a cycle's, [P].

    The sums follow from the probes, so that a checkpoint holds seeds and derivatives alone.
    """

    size: int
    distribution: Distribution
    probes: tuple[tuple[Probed, ...], ...] = ()
    sums: tuple[np.ndarray, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, size: int, distribution: Distribution, cycles: Sequence[Sequence[Probed]]) -> "Pool":
        """Return the pool of some cycles."""
        pool = cls(size=size, distribution=distribution)
        for probes in cycles:
            pool = pool.added(probes)
        return pool

    @property
    def cycles(self) -> int:
        """Return how often the step was asked for."""
        return len(self.probes)

    @property
    def count(self) -> int:
        """Return the number of derivatives."""
        return sum(map(len, self.probes))

    def added(self, probes: Sequence[Probed]) -> "Pool":
        """Return the pool with another cycle."""
        sums = [weighted_sum(half, self.size, self.distribution) for half in _cut(probes)]
        return Pool(
            size=self.size,
            distribution=self.distribution,
            probes=(*self.probes, tuple(probes)),
            sums=(*self.sums, *sums),
        )

    def mean(self) -> np.ndarray:
        """Return the estimated gradient, of each value over the directions that moved it: float64 [P]."""
        return self._mean(slice(None))

    def halves(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the means of the first and the second half, None where one has no derivative."""
        middle = len(self.sums) // 2
        parts = [half for probes in self.probes for half in _cut(probes)]
        if not any(parts[:middle]) or not any(parts[middle:]):
            return None
        return self._mean(slice(middle)), self._mean(slice(middle, None))

    def _mean(self, which: slice) -> np.ndarray:
        parts = [half for probes in self.probes for half in _cut(probes)][which]
        every = [each for part in parts for each in part]
        total = np.sum(self.sums[which], axis=0) if self.sums[which] else np.zeros(self.size)
        if any(each.spans for each in every):
            return np.asarray(total / np.maximum(1, counts_within(every, self.size)))
        return np.asarray(total / max(1, len(every)))


def _cut(probes: Sequence[Probed]) -> tuple[Sequence[Probed], Sequence[Probed]]:
    middle = len(probes) // 2
    return probes[:middle], probes[middle:]
