"""Rounded right shifts of whole numbers: by hand, against plain Python, and their mean errors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlab.models.integer.rounding import bit_width, bits_of, mantissas, shifted

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.int32)


def by_hand(number, shift, rounding, draw=0):
    """Return a number over 2^shift, rounded by the rule as it is written down."""
    magnitude = abs(number)
    whole, rest = magnitude // 2**shift, magnitude % 2**shift
    if rounding == "nearest":
        up = shift > 0 and rest >= 2 ** (shift - 1)
    elif rounding == "stochastic":
        up = rest > draw
    else:
        low = rest & (2 ** (shift // 2) - 1)
        up = (rest >> (shift // 2)) > low * (2 if shift % 2 else 1)
    return (whole + up) * (1 if number >= 0 else -1)


@given(st.lists(INT32, min_size=1, max_size=20), st.integers(0, 32), st.sampled_from(["nearest", "pseudo-stochastic"]))
def test_a_shift_is_of_sign_and_magnitude_for_every_int32(numbers, shift, rounding):
    expected = [by_hand(number, shift, rounding) for number in numbers]
    assert shifted(tensor(*numbers), shift, rounding).tolist() == expected
    clipped = [max(-127, min(127, each)) for each in expected]
    assert mantissas(tensor(*numbers), shift, rounding).tolist() == clipped
    positive = [max(0, each) for each in clipped]
    assert mantissas(tensor(*numbers), shift, rounding, positive=True).tolist() == positive


@given(st.lists(INT32, min_size=1, max_size=20), st.integers(0, 30), st.data())
def test_a_stochastic_shift_goes_up_where_the_rest_is_above_what_was_drawn(numbers, shift, data):
    draws = [data.draw(st.integers(0, 2**shift - 1)) for _ in numbers]
    expected = [by_hand(number, shift, "stochastic", draw) for number, draw in zip(numbers, draws, strict=True)]
    assert shifted(tensor(*numbers), shift, "stochastic", torch.tensor(draws)).tolist() == expected


@pytest.mark.parametrize("rounding", ["nearest", "pseudo-stochastic"])
def test_negative_numbers_are_rounded_as_positive_ones_are(rounding):
    numbers = torch.arange(-3000, 3001, dtype=torch.int32)
    found = shifted(numbers, 5, rounding)
    assert torch.equal(found, -found.flip(0))


def test_halves_go_away_from_zero():
    assert shifted(tensor(4, -4, 12, -12, 3, -3), 3, "nearest").tolist() == [1, -1, 2, -2, 0, 0]


@pytest.mark.parametrize(
    ("shift", "bias"),
    [(2, -0.125), (3, 0.063), (4, -0.094), (5, 0.016), (6, -0.055), (8, -0.029), (10, -0.015), (12, -0.008)],
)
def test_the_mean_error_of_pseudo_stochastic_rounding_is_the_known_one(shift, bias):
    numbers = torch.arange(2**shift, dtype=torch.int32)
    mean = (shifted(numbers, shift, "pseudo-stochastic").double() - numbers.double() / 2**shift).mean()
    assert float(mean) == pytest.approx(bias, abs=6e-4)


@pytest.mark.parametrize("shift", [7, 9, 11, 13])
def test_pseudo_stochastic_rounding_by_odd_shifts_above_6_is_hardly_biased(shift):
    numbers = torch.arange(2**shift, dtype=torch.int32)
    mean = (shifted(numbers, shift, "pseudo-stochastic").double() - numbers.double() / 2**shift).mean()
    assert abs(float(mean)) < 0.0041


def test_128_is_clipped_and_does_not_wrap():
    assert bit_width(tensor(128, -5)) == 7
    assert mantissas(tensor(128, -128, 127), 0, "nearest").tolist() == [127, -127, 127]
    assert mantissas(tensor(511, -511), 2, "nearest").tolist() == [127, -127]


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (127, 7), (128, 7), (129, 8), (2**30 + 1, 31)]
)
def test_the_width_is_the_logarithm_rounded_up(largest, bits):
    assert bits_of(largest) == bits
    assert bit_width(tensor(-largest, 0)) == bits


def test_numbers_of_more_than_one_block_are_all_shifted():
    numbers = torch.arange(-100_000, 100_000, dtype=torch.int32).view(2, -1)
    expected = (numbers.double() / 16).abs().add(0.5).floor() * numbers.sign()
    assert torch.equal(shifted(numbers, 4, "nearest").double(), expected)
    assert shifted(numbers, 4, "nearest").shape == (2, 100_000)


def test_numbers_that_do_not_lie_one_behind_another_keep_their_places():
    numbers = torch.arange(24, dtype=torch.int32).view(2, 3, 4).permute(2, 0, 1)
    assert torch.equal(shifted(numbers, 1, "nearest"), (numbers + 1) // 2)
    assert torch.equal(mantissas(numbers, 0, "nearest").int(), numbers)
