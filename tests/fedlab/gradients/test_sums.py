"""What directions and derivatives add up to is the gradient, in the mean and as near as it should be."""

import numpy as np
import pytest

from fedlab.gradients.directions import direction
from fedlab.gradients.sums import Probed, counts_within, masked, weighted_sum

SIZE = 200
GRADIENT = np.random.default_rng(0).normal(size=SIZE)


def probes(count, distribution="gaussian", first=0):
    seeds = range(first, first + count)
    return [Probed(seed=seed, derivative=float(direction(seed, SIZE, distribution) @ GRADIENT)) for seed in seeds]


@pytest.mark.parametrize("distribution", ["gaussian", "sphere", "sign"])
def test_the_mean_of_derivative_times_direction_is_the_gradient(distribution):
    count = 10_000
    estimate = weighted_sum(probes(count, distribution), SIZE, distribution) / count
    # The error of N probes is sqrt((P + 1) / N) of the gradient's length: 0.14 here.
    error = np.linalg.norm(estimate - GRADIENT) / np.linalg.norm(GRADIENT)
    assert error == pytest.approx(np.sqrt((SIZE + 1) / count), rel=0.2)


@pytest.mark.parametrize("count", [5, 50, 500])
def test_the_squared_cosine_to_the_gradient_is_n_over_n_plus_p_plus_1(count):
    found = []
    for trial in range(max(20, 2000 // count)):
        estimate = weighted_sum(probes(count, first=trial * count), SIZE, "gaussian")
        product = np.linalg.norm(estimate) * np.linalg.norm(GRADIENT)
        found.append((estimate @ GRADIENT / product) ** 2)
    assert np.mean(found) == pytest.approx(count / (count + SIZE + 1), rel=0.15)


def test_the_squared_length_of_one_estimate_is_p_plus_2_times_the_gradients():
    lengths = [np.linalg.norm(weighted_sum([each], SIZE, "gaussian")) ** 2 for each in probes(4000)]
    assert np.mean(lengths) == pytest.approx((SIZE + 2) * (GRADIENT @ GRADIENT), rel=0.1)


def test_values_outside_the_spans_do_not_move():
    vector = np.arange(1.0, 7.0, dtype=np.float32)
    np.testing.assert_array_equal(masked(vector, ((0, 1), (3, 5))), [1, 0, 0, 4, 5, 0])
    assert masked(vector, ()) is vector


def test_directions_are_counted_by_the_values_they_move():
    some = [Probed(seed=1, derivative=1.0, spans=((0, 2),)), Probed(seed=2, derivative=1.0)]
    assert counts_within(some, 3).tolist() == [2, 2, 1]
    total = weighted_sum(some, 3, "sign")
    assert total[2] == direction(2, 3, "sign")[2]
