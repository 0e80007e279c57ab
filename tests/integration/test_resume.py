"""A run killed in the middle of a round and resumed ends with the numbers of one that was left alone."""

import json

import pytest

FEDADAM = ["--set", "rounds=4", "--set", "strategy.name=flwr.serverapp.strategy:FedAdam"]
FEDADAM += ["--set", "strategy.options={fraction_train = 0.5}"]


def check_resumed(fedlab, run, *, killed_in, rounds):
    """Show a killed run, resume it and check that it went on where it was."""
    shown = fedlab("show", run, "--json")
    assert (shown.code, shown.summary["status"], shown.summary["rounds"]) == (0, "unfinished", killed_in - 1)
    resumed = fedlab("run", "--resume", run, *fedlab.on_cluster(), "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.summary["rounds"] == rounds
    said = [line.split()[1] for line in resumed.out.splitlines() if line.startswith("round ")]
    assert said == [f"{number}/{rounds}" for number in range(killed_in, rounds + 1)]


def test_a_run_killed_in_mid_trial_ends_as_one_left_alone(fedlab, base, same_numbers):
    run = fedlab.kill_in_round(6, "killed")
    checkpoint = json.loads((run / "checkpoint" / "tree.json").read_text())["tree"]
    assert checkpoint["state"]["server_round"] == 5
    assert checkpoint["parts"]["strategy"]["trial"] is not None
    assert len((run / "trials.jsonl").read_text().splitlines()) >= 1

    check_resumed(fedlab, run, killed_in=6, rounds=7)
    same_numbers(base.run, run)


@pytest.mark.slow
def test_a_killed_run_of_flowers_fedadam_ends_as_one_left_alone(fedlab, same_numbers):
    whole = fedlab.run("fedadam", *FEDADAM)
    assert whole.code == 0, whole.err
    run = fedlab.kill_in_round(3, "fedadam-killed", *FEDADAM)
    check_resumed(fedlab, run, killed_in=3, rounds=4)
    same_numbers(whole.run, run)
