"""A step is made once two halves of what was probed for it agree, or it was asked for often enough."""

import numpy as np
import pytest

from fedlab.gradients.directions import direction
from fedlab.gradients.sums import Probed
from strategies.pacing import Pacing, Pool, cosine_of

SIZE = 60
ALL = slice(None)
GRADIENT = np.random.default_rng(0).normal(size=SIZE)


def probes(count, first=0, gradient=GRADIENT):
    return [
        Probed(seed=seed, derivative=float(direction(seed, SIZE, "gaussian") @ gradient))
        for seed in range(first, first + count)
    ]


def estimate(some):
    return np.mean([each.derivative * direction(each.seed, SIZE, "gaussian") for each in some], axis=0)


def pool(*cycles):
    return Pool.of(SIZE, "gaussian", cycles)


def test_the_mean_is_over_all_cycles():
    first, second = probes(6), probes(4, 100)
    found = pool(first, second).mean()
    np.testing.assert_allclose(found, estimate(first + second), rtol=1e-5, atol=1e-6)


def test_the_halves_are_those_of_the_list_in_order():
    one, three = pool(probes(6)).halves(), pool(probes(6), probes(6, 100), probes(6, 200)).halves()
    np.testing.assert_allclose(one[0], estimate(probes(3)), atol=1e-5)
    np.testing.assert_allclose(one[1], estimate(probes(3, 3)), atol=1e-5)
    np.testing.assert_allclose(three[0], estimate(probes(6) + probes(3, 100)), atol=1e-5)
    np.testing.assert_allclose(three[1], estimate(probes(3, 103) + probes(6, 200)), atol=1e-5)


def test_the_variance_is_the_published_statistic_of_the_watched_values():
    judged = Pacing(pacing="variance").judge(pool(probes(6)), slice(10, 20))
    first, second = estimate(probes(3))[10:20], estimate(probes(3, 3))[10:20]
    assert judged.variance == pytest.approx(np.var([first, second], axis=0, ddof=1).mean(), rel=1e-5)


@pytest.mark.parametrize(("threshold", "verdict"), [(1e9, "accepted"), (1e-9, "repeated")])
def test_a_step_is_made_once_its_variance_is_at_most_the_threshold(threshold, verdict):
    assert Pacing(pacing="variance", threshold=threshold).judge(pool(probes(6)), ALL).verdict == verdict


def test_the_cosine_does_not_depend_on_the_scale_of_the_gradient_and_the_variance_does():
    small, large = (Pacing().judge(pool(probes(400, gradient=scale * GRADIENT)), ALL) for scale in (1, 100))
    assert small.cosine == pytest.approx(large.cosine, rel=1e-6)
    assert large.variance == pytest.approx(1e4 * small.variance, rel=1e-4)
    assert small.cosine == pytest.approx(400 / (400 + 2 * SIZE + 2), abs=0.1)
    assert small.verdict == large.verdict == "accepted"


def test_halves_that_disagree_are_not_enough():
    against = probes(200) + probes(200, 200, -GRADIENT)
    judged = Pacing().judge(pool(against), ALL)
    assert judged.cosine < 0
    assert judged.verdict == "repeated"


def test_a_step_that_was_asked_for_often_enough_is_made():
    against = [probes(2), probes(2, 200, -GRADIENT)]
    rule = Pacing(most_cycles=2, threshold=1e6)
    assert [rule.judge(pool(*against[:count]), ALL).verdict for count in (1, 2)] == ["repeated", "capped"]


def test_one_direction_has_no_halves_and_is_not_enough():
    judged = Pacing(most_cycles=3).judge(pool(probes(1)), ALL)
    assert (judged.verdict, judged.variance, judged.cosine) == ("repeated", None, None)
    assert pool(probes(1), probes(1, 50)).halves() is not None


def test_without_pacing_every_step_is_made():
    assert Pacing(pacing="none").judge(pool(probes(1)), ALL).verdict == "accepted"


def test_a_gradient_of_zero_is_as_good_as_it_gets():
    still = [Probed(seed=seed, derivative=0.0) for seed in range(4)]
    judged = Pacing().judge(pool(still), ALL)
    assert (judged.verdict, judged.variance, judged.cosine) == ("accepted", 0.0, None)
    assert cosine_of(np.zeros(3), np.ones(3)) is None


def test_of_a_value_that_some_directions_move_the_mean_is_over_those():
    half = [Probed(seed=1, derivative=2.0, spans=((0, 30),)), Probed(seed=2, derivative=4.0)]
    found = pool(half).mean()
    one, two = direction(1, SIZE, "gaussian"), direction(2, SIZE, "gaussian")
    np.testing.assert_allclose(found[:30], (2 * one[:30] + 4 * two[:30]) / 2, rtol=1e-5)
    np.testing.assert_allclose(found[30:], 4 * two[30:], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pacing": "fast"}, "pacing: 'fast', expected one of cosine, variance, none"),
        ({"threshold": 0.0}, "threshold: 0.0, expected a positive number"),
        ({"most_cycles": 0}, "most_cycles: 0, expected 1 to 10000"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Pacing(**options)
