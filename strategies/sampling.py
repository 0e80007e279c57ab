"""Discriminative sampling: of many candidate directions those that point most along the last gradient.

FwdLLM draws ten candidates for each direction, ranks them by their signed cosine with the last step's gradient, tensor
by tensor and where the clients run, and keeps the best tenth. Here the server ranks whole directions, and names those
that it keeps by their numbers: a client then needs no gradient, and rebuilds its directions from seeds as always.
"""

from collections.abc import Sequence

import numpy as np

from fedlab.gradients.directions import Distribution, direction


def cosines(seeds: Sequence[int], reference: np.ndarray, distribution: Distribution) -> np.ndarray:
    """Return the cosine of each seed's direction with a reference [P]: float64 [N]."""
    norm = float(np.linalg.norm(reference))
    found = np.empty(len(seeds))
    for place, seed in enumerate(seeds):
        candidate = direction(seed, len(reference), distribution)
        found[place] = float(candidate @ reference) / (norm * float(np.linalg.norm(candidate)))
    return found


def shared_out(ranks: np.ndarray, partitions: Sequence[int], each: int) -> dict[int, tuple[int, ...]]:
    """Return the candidates of each partition: the best of all go to the partitions in turn, the best one first.

    `ranks` are what candidates are ranked by, the highest first; there are at least `each` for every partition.
    """
    best = np.argsort(-ranks, kind="stable")[: len(partitions) * each]
    return {
        partition: tuple(int(candidate) for candidate in best[place :: len(partitions)])
        for place, partition in enumerate(partitions)
    }
