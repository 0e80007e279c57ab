"""A seed stands for one direction: random, of unit variance, and the same everywhere."""

import hashlib

import numpy as np
import pytest

from fedlab.gradients.directions import direction, probe_seed

SIZE = 100_000


@pytest.mark.parametrize("distribution", ["gaussian", "sphere", "sign"])
def test_components_have_mean_0_and_variance_1(distribution):
    values = direction(7, SIZE, distribution).astype(np.float64)
    assert values.shape == (SIZE,)
    assert abs(values.mean()) < 4 / np.sqrt(SIZE)
    assert abs(values.var() - 1) < 4 * np.sqrt(2 / SIZE)


def test_a_gaussian_direction_has_a_gaussians_tails():
    values = direction(7, SIZE, "gaussian").astype(np.float64)
    shares = [(np.abs(values) > bound).mean() for bound in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(shares, [0.3173, 0.0455, 0.0027], atol=0.003)
    assert abs((values**4).mean() - 3) < 0.15


def test_a_direction_on_the_sphere_is_a_gaussian_one_of_length_root_p():
    gaussian, sphere = direction(3, 1001, "gaussian"), direction(3, 1001, "sphere")
    assert np.linalg.norm(sphere) == pytest.approx(np.sqrt(1001), rel=1e-6)
    np.testing.assert_allclose(sphere, gaussian * sphere[0] / gaussian[0], rtol=1e-5)


def test_signs_are_signs():
    assert set(direction(3, 1001, "sign").tolist()) == {-1.0, 1.0}


def test_the_bits_of_a_seed_never_change():
    digests = {
        name: hashlib.sha256(direction(12345, 1000, name).tobytes()).hexdigest()[:16]
        for name in ("gaussian", "sphere", "sign")
    }
    assert digests == {"gaussian": "d75289d468f20cb7", "sphere": "bc782426ead30fc5", "sign": "0921bd9498c15bfd"}


def test_a_longer_direction_begins_as_a_shorter_one():
    np.testing.assert_array_equal(direction(5, 100, "gaussian"), direction(5, 1000, "gaussian")[:100])


def test_every_coordinate_of_a_probe_changes_its_seed():
    base = {"step": 1, "cycle": 2, "partition": 3, "probe": 4}
    seeds = {probe_seed(0, **base), probe_seed(1, **base)}
    seeds |= {probe_seed(0, **(base | {key: value + 10})) for key, value in base.items()}
    assert len(seeds) == 6
    assert (
        abs(
            np.corrcoef(
                direction(probe_seed(0, **base), SIZE, "gaussian"), direction(probe_seed(1, **base), SIZE, "gaussian")
            )[0, 1]
        )
        < 0.015
    )
