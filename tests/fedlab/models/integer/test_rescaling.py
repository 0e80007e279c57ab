"""Self-adaptive rescaling: the interval rule with its constants, on numbers computed by hand."""

import pytest

from fedlab.models.integer.rescaling import (
    Rescaling,
    ShiftHistory,
    every_batch_shift,
    found_again,
    interval,
    quantisation_distance,
    reused,
    skipped_share,
)


def history(shift=6, average=6.0, due=0):
    return ShiftHistory(shift=shift, average=average, due=due)


@pytest.mark.parametrize(("largest", "shift"), [(0, 0), (127, 0), (128, 0), (129, 1), (8000, 6), (2**30, 23)])
def test_a_shift_keeps_7_bits(largest, shift):
    assert every_batch_shift(largest) == shift


def test_the_distance_is_the_logarithm_of_one_plus_the_relative_change():
    assert quantisation_distance(1000, 1000) == 0
    assert quantisation_distance(1000, 750) == pytest.approx(0.3219, abs=1e-4)  # log2(1.25)
    assert quantisation_distance(0, 0) == 0


@pytest.mark.parametrize(
    ("shift", "average", "distance", "steps"),
    [
        (6, 6.0, 0.01, 8),  # 0.1 / (100 * 0.0001) - 2
        (6, 5.9, 0.0, 23),  # 0.1 / (0.04 * 0.1) - 2
        (6, 4.0, 0.0, 1),  # 0.1 / 0.08 - 2 is negative
        (6, 6.0, 0.0, 50),  # nothing moves: an epoch
        (6, 6.0, 0.001, 50),  # 0.1 / 0.0001 - 2 is above an epoch
    ],
)
def test_an_interval_follows_from_distance_and_drift(shift, average, distance, steps):
    assert interval(history(shift, average), distance, 50) == steps


def test_every_step_of_the_first_hundredth_of_the_first_epoch_looks_for_its_shift():
    found = None
    for step in range(3):
        found = found_again(found, 6, 0.0, step=step, steps_in_epoch=300)
        assert found.due == step + 1
    assert found_again(found, 6, 0.0, step=3, steps_in_epoch=300).due == 303


def test_after_the_first_epoch_it_is_once_an_epoch():
    assert found_again(history(), 6, 0.5, step=300, steps_in_epoch=300).due == 600


def test_the_average_moves_by_a_25th_and_changes_are_kept_with_their_steps():
    found = found_again(None, 6, 0.0, step=0, steps_in_epoch=10)
    found = found_again(found, 7, 0.0, step=4, steps_in_epoch=10)
    found = found_again(found, 7, 0.0, step=5, steps_in_epoch=10)
    assert found.average == pytest.approx(7 - 0.96**2)
    assert found.changes == ((0, 6), (4, 7))
    assert found.found == 3


def test_saturation_makes_a_shift_due_at_the_next_step():
    assert reused(history(due=90), 1, 1000, step=5).due == 90
    assert reused(history(due=90), 2, 1000, step=5).due == 6


def test_without_the_switch_no_shift_is_reused():
    for adaptive, known in ((False, None), (True, 6)):
        rescaling = Rescaling(adaptive=adaptive, steps_in_epoch=1000, step=20)
        rescaling.record_found("0.activation", 6, 1000, 1000)
        rescaling.step = 21
        assert rescaling.known("0.activation") == known
        assert rescaling.known("1.activation") is None


def test_the_share_of_skipped_passes_is_over_all_tensors():
    one = reused(reused(history(due=90), 0, 10, step=1), 0, 10, step=2)
    assert skipped_share({"0.activation": one, "0.error": history()}) == 0.5
    assert skipped_share({}) == 0
