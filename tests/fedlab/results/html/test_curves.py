import math
from dataclasses import replace

import pytest

from fedlab.results.html.curves import (
    MOST_ROUNDS,
    accuracy_columns,
    axes,
    loss_columns,
    spendings,
    times_to_accuracy,
    trial_columns,
)


@pytest.fixture
def rounds(round_):
    return [
        round_(1, 3600.0, validation=0.5, test=0.4, trial=1),
        round_(2, 7200.0, trial=1),
        round_(3, 10800.0, validation=0.8, test=0.75, trial=2, depth=3),
    ]


def test_spending_adds_up_over_rounds_from_nothing(rounds):
    spent = [(each.server_round, each.seconds, each.joules, each.num_bytes) for each in spendings(rounds)]

    assert spent == [(0, 0.0, 0.0, 0), (1, 3600.0, 10.0, 200), (2, 7200.0, 20.0, 400), (3, 10800.0, 30.0, 600)]


def test_axes_have_units_that_are_easy_to_read(rounds):
    titles = [each.title for each in axes(rounds)]

    assert titles == ["Simulated time (hours)", "Round", "Energy of all clients (J)", "Traffic, down and up (bytes)"]


def test_a_deployed_run_has_measured_time_and_no_energy_axis_where_no_power_is_known(round_):
    found = axes([round_(1, 90.0, joules=0.0)], deployed=True)

    assert [each.title for each in found] == ["Measured time (minutes)", "Round", "Traffic, down and up (bytes)"]


def test_accuracies_stand_at_their_place_on_every_axis(rounds):
    found = accuracy_columns(rounds, axes(rounds))

    assert found["time"] == [1, 3]
    assert found["round"] == [1, 3]
    assert found["energy"] == [10, 30]
    assert found["validation"] == [0.5, 0.8]
    assert found["test"] == [0.4, 0.75]
    assert found["configuration"] == ["depth 2, width 8", "depth 3, width 8"]


def test_a_loss_that_is_not_finite_is_left_out(rounds):
    broken = replace(rounds[1], groups=[replace(rounds[1].groups[0], train_loss=math.nan)])

    found = loss_columns([rounds[0], broken, rounds[2]], axes(rounds))

    assert found["round"] == [1, 3]
    assert found["group"] == ["train", "train"]


def test_a_trial_reaches_from_the_end_of_the_one_before_and_says_if_it_is_an_upgrade(rounds, trial):
    found = trial_columns(rounds, [trial(1, 2, winner="shallow"), trial(2, 3)], axes(rounds))

    assert (found["round_from"], found["round"]) == ([0, 2], [2, 3])
    assert (found["time_from"], found["time"]) == ([0, 2], [2, 3])
    assert (found["energy_from"], found["energy"]) == ([0, 20], [20, 30])
    assert found["upgrade"] == [None, "(3, 8)"]
    assert found["shade"] == [0, 1]


def test_a_trial_whose_rounds_are_not_recorded_is_not_drawn(rounds, trial):
    assert trial_columns(rounds, [trial(3, 9)], axes(rounds))["trial"] == []


def test_a_target_is_reached_in_the_first_round_that_measures_it(rounds):
    reached = {each.share: (each.server_round, each.seconds) for each in times_to_accuracy(rounds, "validation")}

    assert reached[0.99] == (3, 10800.0)
    assert reached[0.7] == (3, 10800.0)
    assert times_to_accuracy([rounds[1]], "test") == []


def test_curves_of_very_long_runs_are_thinned(round_):
    rounds = [round_(number, float(number), validation=0.5) for number in range(1, 2 * MOST_ROUNDS)]

    found = accuracy_columns(rounds, axes(rounds))["round"]

    assert len(found) <= MOST_ROUNDS
    assert (found[0], found[-1]) == (1, len(rounds))
