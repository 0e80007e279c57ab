"""The softmax gradient in integers, by hand and against floats."""

import pytest
import torch

from fedlab.models.integer.loss import softmax_gradient
from fedlab.models.integer.tensor import IntegerTensor


def gradient(rows, exponent, labels, draws=0):
    logits = IntegerTensor(mantissa=torch.tensor(rows, dtype=torch.int8), exponent=exponent)
    drawn = torch.full((len(rows), len(rows[0])), draws)
    return softmax_gradient(logits, torch.tensor(labels), drawn)


def test_the_powers_of_two_are_those_computed_by_hand():
    # 32 * 47274 / 2^15 = 46 (truncated), / 2^4 = 2; -32: -2. z = 10, 10 - 2 = 8, 10 - 4 = 6: g = 1023, 255, 63.
    # times 2^11 over 1341: 1562, 389, 96; the target has 1562 - 2047 = -485. Shifted by 4: 97.6, 24.3, 6.0; 485: 30.3.
    found = gradient([[32, 0, -32]], -4, [0], draws=15)
    assert found.mantissa.tolist() == [[-30, 24, 6]]
    assert found.exponent == 0
    assert gradient([[32, 0, -32]], -4, [0], draws=0).mantissa.tolist() == [[-31, 25, 6]]


def test_small_logits_use_the_series():
    # e = -7: 2^15 + s 2^8 + s^2: for 64: 32768 + 16384 + 4096 = 53248, for 0: 32768; times 2^11 / 86016: 1267, 780.
    # The target has 1267 - 2047 = -780. Shifted by 4 with draws of 15: 48, 48.
    assert gradient([[64, 0]], -7, [0], draws=15).mantissa.tolist() == [[-48, 48]]


@pytest.mark.parametrize("exponent", [-3, -5, -7, -9, -12])
def test_it_is_softmax_less_the_target_in_128ths(exponent):
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(-127, 128, (40, 10), generator=generator).tolist()
    labels = torch.randint(0, 10, (40,), generator=generator)
    found = gradient(rows, exponent, labels.tolist(), draws=8).mantissa.double() / 128
    expected = torch.softmax(torch.tensor(rows).double() * 2.0**exponent, 1)
    expected[torch.arange(40), labels] -= 1
    # z is a whole number, so that an exponential is off by up to a factor of 2 where exponents are above -7.
    assert float((found - expected).abs().max()) < (0.35 if exponent > -7 else 0.06)


@pytest.mark.parametrize("exponent", [0, 20, 300])
def test_logits_that_are_far_apart_leave_all_to_the_largest_and_do_not_wrap(exponent):
    assert gradient([[100, -100]], exponent, [1], draws=15).mantissa.tolist() == [[127, -127]]


@pytest.mark.parametrize("exponent", [-26, -60, -5000])
def test_logits_that_hardly_differ_share_it_evenly(exponent):
    assert gradient([[100, -100]], exponent, [1], draws=15).mantissa.tolist() == [[64, -64]]


def test_equal_logits_of_any_exponent_share_it_evenly():
    for exponent in (-30, -7, -6, 0, 40):
        assert gradient([[127] * 4], exponent, [2], draws=15).mantissa.tolist() == [[32, 32, -96, 32]]
