"""Of many candidate directions those are kept that point most along the last gradient."""

import numpy as np
import pytest

from fedlab.gradients.directions import direction
from strategies.sampling import cosines, shared_out

REFERENCE = np.random.default_rng(0).normal(size=500)


def test_candidates_are_ranked_by_their_signed_cosine():
    found = cosines(range(20), REFERENCE, "gaussian")
    first = direction(0, 500, "gaussian")
    assert found[0] == pytest.approx(first @ REFERENCE / np.linalg.norm(first) / np.linalg.norm(REFERENCE))
    assert found.min() < 0 < found.max()
    np.testing.assert_allclose(cosines(range(20), 100 * REFERENCE, "gaussian"), found)


def test_the_best_go_to_the_partitions_in_turn():
    ranks = np.array([0.1, 0.9, 0.5, -0.9, 0.7, 0.3])
    assert shared_out(ranks, [7, 3], 2) == {7: (1, 2), 3: (4, 5)}


def test_the_best_tenth_leans_to_the_reference_as_a_gaussians_best_tenth_does():
    count = 3000
    ranks = cosines(range(count), REFERENCE, "gaussian")
    kept = [seed for own in shared_out(ranks, range(30), 10).values() for seed in own]
    unit = REFERENCE / np.linalg.norm(REFERENCE)
    along = np.array([direction(seed, 500, "gaussian") @ unit for seed in kept])
    assert along.mean() == pytest.approx(1.75, abs=0.1)
    assert (along**2).mean() == pytest.approx(3.25, abs=0.3)
