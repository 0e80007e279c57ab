"""The weight update: steps of 2^mu levels, decay, 16-bit weights and schedules."""

import pytest
import torch

from fedlab.errors import UserError
from fedlab.models.integer.update import (
    MuSchedule,
    gradient_step,
    narrow,
    schedule_of,
    updated,
    updated_wide,
    widened,
)


def int8(*numbers):
    return torch.tensor(numbers, dtype=torch.int8)


def int32(*numbers):
    return torch.tensor(numbers, dtype=torch.int32)


@pytest.mark.parametrize("mu", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("scale", [1000, 30_000, 2**20])
def test_the_largest_step_is_about_2_to_the_mu_whatever_the_scale(mu, scale):
    step = gradient_step(int32(scale, -scale // 2, 0), mu, "nearest")
    assert 2 ** (mu - 1) <= int(step[0]) <= 2**mu
    assert int(step[2]) == 0


def test_a_step_by_hand():
    # width of 1000: 10; shift 10 - 3 = 7: 1000 / 128 = 7.8, -300 / 128 = -2.3, 60 / 128 = 0.5
    assert gradient_step(int32(1000, -300, 60, 64), 3, "nearest").tolist() == [8, -2, 0, 1]
    assert updated(int8(10, 10, 10, -127), int32(1000, -300, 60, 64), 3, "nearest").tolist() == [2, 12, 10, -127]


def test_a_gradient_narrower_than_mu_is_taken_as_it_is():
    assert gradient_step(int32(3, -2, 0), 5, "pseudo-stochastic").tolist() == [3, -2, 0]


def test_a_gradient_of_ones_is_not_one_of_zeros():
    assert gradient_step(int32(1, -1, 0), 3, "nearest").tolist() == [1, -1, 0]
    assert gradient_step(int32(0, 0), -1, "nearest").tolist() == [0, 0]


def test_a_mu_below_0_moves_only_the_largest_entries_by_one_level():
    step = gradient_step(torch.arange(-1000, 1001, dtype=torch.int32), -1, "pseudo-stochastic")
    assert set(step.tolist()) == {-1, 0, 1}
    assert int(step.abs().sum()) < 0.6 * len(step)


def test_weights_end_at_127_levels():
    assert updated(int8(126, -126), int32(-1000, 1000), 3, "nearest").tolist() == [127, -127]


def test_decay_is_added_before_the_shift():
    # width of 2^18: 18; 100 * 2^(18 - 15) = 800. Shift 18 - 3 = 15: (2^14 - 200 + 800) / 2^15 = 0.52 in place of 0.49.
    gradient, weight = int32(2**18, 2**14 - 200), int8(0, 100)
    assert updated(weight, gradient, 3, "nearest").tolist() == [-8, 100]
    assert updated(weight, gradient, 3, "nearest", decay=True).tolist() == [-8, 99]
    # width 10: 100 / 2^5 = 3.1, truncated to 3, and so is -100.
    assert gradient_step(int32(1000, 0, 0), 10, "nearest", int8(0, 100, -100)).tolist() == [1000, 3, -3]


def test_a_wide_weight_adds_up_what_is_less_than_a_level():
    weight, gradient = widened(int8(10, 10)), int32(1000, -100)
    for _ in range(10):
        weight = updated_wide(weight, gradient, 0, "nearest")
    # The step keeps 8 bits of fraction: shift 10 - 8 = 2: 250 / 256 and -25 / 256 of a level.
    assert weight.tolist() == [2560 - 2500, 2560 + 250]
    assert narrow(weight).tolist() in ([0, 11], [1, 11])
    assert narrow(widened(int8(-127, 5, 127))).tolist() == [-127, 5, 127]


def test_a_wide_weight_ends_at_127_levels():
    weight = updated_wide(widened(int8(127, -127)), int32(-1000, 1000), 3, "nearest")
    assert narrow(weight).tolist() == [127, -127]


def test_a_schedule_holds_from_its_epochs_on():
    schedule = MuSchedule(steps=((0, 5), (100, 4), (150, 3)))
    assert [schedule.at(epoch) for epoch in (0, 99, 100, 149, 150, 1000)] == [5, 5, 4, 4, 3, 3]
    assert schedule_of(2).at(7) == 2
    assert schedule_of([[0, 2], [3, -1]]).at(3) == -1


@pytest.mark.parametrize("steps", [(), ((1, 2),), ((0, 2), (0, 1)), ((0, 2), (5, 1), (3, 0)), ((0, 8),)])
def test_a_schedule_that_is_none_is_refused(steps):
    with pytest.raises(UserError, match="mu schedule"):
        MuSchedule(steps=steps)


def test_a_schedule_is_a_list_of_pairs():
    with pytest.raises(UserError, match="pairs"):
        schedule_of([[0, 2, 1]])
