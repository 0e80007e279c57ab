"""Finite differences of losses: the formulas, the steps, and what cannot be."""

import numpy as np
import pytest

from fedlab.errors import UserError
from fedlab.gradients.estimators import Differences, one_sided, two_sided


def cubic(at):
    return np.array([at + at**2 + at**3])


@pytest.mark.parametrize("h", [0.1, 0.01])
def test_the_two_sided_error_is_that_of_h_squared_and_the_one_sided_that_of_h(h):
    assert two_sided(cubic(h), cubic(-h), [h])[0] - 1 == pytest.approx(h**2)
    assert one_sided(cubic(h), cubic(0.0), [h])[0] - 1 == pytest.approx(h + h**2)


def test_differences_of_losses_in_single_precision_are_taken_in_double():
    above, below = np.array([1.0 + 2**-23], np.float32), np.array([1.0], np.float32)
    assert two_sided(above, below, [2**-10])[0] == 2**-14


def test_a_relative_step_is_a_share_of_the_weights():
    assert Differences(h=0.01, scale="relative").step(20.0, 1000.0) == pytest.approx(0.01 * 20 / 1000)
    assert Differences(h=0.01, scale="relative").step(0.0, 1000.0) == pytest.approx(0.01 / 1000)
    assert Differences(h=0.01).step(20.0, 1000.0) == 0.01


@pytest.mark.parametrize(("estimator", "passes"), [("two-sided", 6), ("one-sided", 4), ("exact", 6)])
def test_passes_are_counted_by_estimator(estimator, passes):
    assert Differences(estimator=estimator).passes(3) == passes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimator": "three-sided"}, "estimator: 'three-sided' is unknown; accepted: two-sided, one-sided, exact"),
        ({"scale": "large"}, "scale: 'large' is unknown; accepted: absolute, relative"),
        ({"h": 0}, "h: 0 is not a positive number"),
        ({"h": "0.1"}, "h: '0.1' is not a positive number"),
        ({"h": float("nan")}, "h: nan is not a positive number"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        Differences(**options)
