"""Floats as mantissas with an exponent: both versions' rules, on numbers that are easy to follow."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlab.models.integer.tensor import nearest, stretched


def test_the_first_versions_input_is_stretched_to_127_levels():
    found = stretched(torch.tensor([1.0, -2.5, 0.0]))  # ceil(log2 2.5) = 2
    assert found.mantissa.tolist() == [51, -127, 0]
    assert found.exponent == 2 - 7


def test_the_current_versions_input_is_exact_where_7_bits_hold_it():
    found = nearest(torch.tensor([1.0, -2.5, 0.03125]))
    assert found.mantissa.tolist() == [32, -80, 1]
    assert found.exponent == -5
    assert found.floats().tolist() == [1.0, -2.5, 0.03125]


@pytest.mark.parametrize("largest", [1.0, 0.25, 64.0])
def test_a_power_of_two_is_its_own_next_power_and_does_not_wrap(largest):
    assert nearest(torch.tensor([largest, -largest])).mantissa.tolist() == [127, -127]
    assert stretched(torch.tensor([largest])).mantissa.tolist() == [127]
    assert 2.0 ** (stretched(torch.tensor([largest])).exponent + 7) == largest


@pytest.mark.parametrize("convert", [nearest, stretched])
def test_zeros_and_nothing_have_mantissas_of_zero(convert):
    assert convert(torch.zeros(3)).mantissa.tolist() == [0, 0, 0]
    assert convert(torch.zeros(0)).mantissa.shape == (0,)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8))
def test_a_stretched_tensor_is_at_most_twice_as_large_and_never_smaller_by_more_than_its_rounding(values):
    floats = torch.tensor(values)
    largest = float(floats.abs().max())
    if largest < 1e-30:
        return
    found = stretched(floats)
    assert int(found.mantissa.abs().max()) == 127
    assert 127 / 128 * largest <= float(found.floats().abs().max()) * (1 + 1e-6)
    assert float(found.floats().abs().max()) < 2 * largest


def test_an_exponent_that_is_given_clips_what_it_does_not_hold():
    assert nearest(torch.tensor([0.6, -3.0]), exponent=-6).mantissa.tolist() == [38, -127]
