"""A run killed at any moment and resumed ends with the numbers of one that was left alone."""

import json

import pytest

WAITS_FOR_NOBODY = ["--set", "client.name=clients.py:waiting", "--set", "client.options.at_round=0"]
WAITS_FOR_NOBODY += ["--set", "client.options.while_there=nothing"]
FEDADAM = ["--set", "rounds=4", "--set", "strategy.name=flwr.serverapp.strategy:FedAdam"]
FEDADAM += ["--set", "strategy.options={fraction_train = 0.5, fraction_evaluate = 0.25}"]


def last_checkpoint(run):
    return json.loads((run / "checkpoint" / "tree.json").read_text())


@pytest.mark.parametrize(("killed_in", "settings"), [(6, []), (3, FEDADAM)], ids=["adafl", "FedAdam"])
def test_a_killed_run_resumed_ends_as_one_left_alone(fedlab, same_numbers, killed_in, settings):
    whole = fedlab.run(f"whole-{killed_in}", *WAITS_FOR_NOBODY, *settings)
    assert whole.code == 0, whole.err

    run = fedlab.kill_in_round(killed_in, f"killed-{killed_in}", *settings)
    checkpoint = last_checkpoint(run)
    assert checkpoint["standing"]["server_round"] == killed_in - 1
    if not settings:
        assert checkpoint["strategy"]["trial"] is not None  # in the middle of a trial
    shown = fedlab("show", run, "--json")
    assert (shown.code, shown.summary["status"], shown.summary["rounds"]) == (0, "unfinished", killed_in - 1)

    resumed = fedlab("run", "--resume", run, *fedlab.on_cluster(), "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.summary["rounds"] == whole.summary["rounds"] > killed_in
    assert f"round {killed_in}/" in resumed.out
    assert f"round {killed_in - 1}/" not in resumed.out
    same_numbers(whole.run, run)
