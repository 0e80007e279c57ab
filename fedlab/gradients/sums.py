"""What directions and the derivatives along them add up to: the estimate of a gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlab.gradients.directions import Distribution, direction


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A derivative along the direction of a seed; only the values within `spans` were moved, all if there are none."""

    seed: int
    derivative: float
    spans: tuple[tuple[int, int], ...] = ()


def masked(vector: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return a direction with zeros outside the spans; as it is if there are none."""
    if not spans:
        return vector
    kept = np.zeros_like(vector)
    for start, stop in spans:
        kept[start:stop] = vector[start:stop]
    return kept


def weighted_sum(probes: Sequence[Probed], size: int, distribution: Distribution) -> np.ndarray:
    """Return the sum of derivative x direction: float64 [P].

    Products are in float32 and are added one after the other, so that the result has the same bits everywhere.
    """
    total = np.zeros(size)
    for each in probes:
        total += masked(direction(each.seed, size, distribution), each.spans) * np.float32(each.derivative)
    return total


def counts_within(probes: Sequence[Probed], size: int) -> np.ndarray:
    """Return how many directions moved each value: int64 [P]."""
    counts = np.zeros(size, np.int64)
    for each in probes:
        for start, stop in each.spans or ((0, size),):
            counts[start:stop] += 1
    return counts
