"""What is kept of a round and a trial, as numbers worked out by hand."""

from fedlab.results.trackers.scalars import RunningTotals, line_of_trial, scalars_of_round, scalars_of_trial


def test_a_round_has_its_time_scores_measures_loss_costs_memory_and_sizes(records):
    clients_of, round_of, _ = records
    assert scalars_of_round(round_of(3), clients_of(3), "accuracy") == {
        "round": 3.0, "simulated_seconds": 30.0, "simulated_hours": 30 / 3600, "wall_seconds": 0.75,
        "validation/accuracy": 0.3, "validation/macro-f1": 0.15, "train/loss": 1.0, "round/seconds": 5.0,
        "round/joules": 8.0, "round/bytes_down": 40.0, "round/bytes_up": 20.0, "round/clients": 2.0,
        "round/failures": 0.0, "round/peak_memory_bytes": 6e6, "configuration/depth": 1.0, "configuration/width": 8.0,
    }  # fmt: skip


def test_the_score_has_the_name_that_the_task_gives_it(records):
    _, round_of, _ = records
    assert scalars_of_round(round_of(2), [], "entity-f1")["validation/entity-f1"] == 0.2


def test_a_round_without_records_of_clients_says_nothing_of_memory(records):
    _, round_of, _ = records
    assert "round/peak_memory_bytes" not in scalars_of_round(round_of(1), [], "accuracy")


def test_totals_add_up_rounds_trials_and_upgrades(records):
    _, round_of, trial_of = records
    totals = RunningTotals()
    assert totals.of_round(round_of(1)) == {"total/joules": 8.0, "total/bytes_down": 40.0, "total/bytes_up": 20.0}
    assert totals.of_round(round_of(2))["total/joules"] == 16.0
    assert totals.of_trial(trial_of(2)) == {"total/trials": 1.0, "total/upgrades": 1.0}
    assert totals.of_trial(trial_of(3, winner="shallow")) == {"total/trials": 2.0, "total/upgrades": 1.0}


def test_a_trial_has_the_accuracy_of_each_group_and_says_who_won(records):
    *_, trial_of = records
    assert scalars_of_trial(trial_of(2)) == {"trial/shallow": 0.25, "trial/deep": 0.5}
    assert "deep wins, depth 2, width 8" in line_of_trial(trial_of(2))
    assert line_of_trial(trial_of(2)).endswith("  upgrade")
    assert "upgrade" not in line_of_trial(trial_of(2, winner="shallow"))
