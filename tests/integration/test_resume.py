"""A run killed in the middle of a round and resumed ends with the numbers of one that was left alone."""

import json

import pytest

# One of each kind of memory: none, momentum, moments, and those of a wrapper on the server and with clients. In
# tests/fedlab/server/test_serve.py every class is cut off and resumed, within a process.
STRATEGIES = (
    "FedAvgM",
    "FedAdam",
    "DifferentialPrivacyServerSideAdaptiveClipping",
)


def inline(value):
    """Write a table as a value of TOML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


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
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_killed_run_of_a_strategy_of_flowers_ends_as_one_left_alone(fedlab, same_numbers, flowers_strategy, name):
    settings = ["--set", "rounds=3", "--set", f"strategy={inline(flowers_strategy(name))}"]
    whole = fedlab.run(f"{name}-whole", *settings)
    assert whole.code == 0, whole.err
    run = fedlab.kill_in_round(2, f"{name}-killed", *settings)
    check_resumed(fedlab, run, killed_in=2, rounds=3)
    same_numbers(whole.run, run)


@pytest.mark.slow
def test_a_run_of_forward_gradients_killed_while_a_step_is_repeated_ends_as_one_left_alone(fedlab, same_numbers):
    options = "clients_per_round = 4, probes = 2, threshold = 1e6, most_cycles = 2, steps_per_cohort = 2"
    settings = ["--set", f"strategy={{name = 'fwdllm', options = {{{options}}}}}", "--set", "rounds=5"]
    whole = fedlab.run("forward-whole", *settings, "--set", "client.name=forward")
    assert whole.code == 0, whole.err
    steps = [(each["step"], each["cycle"], each["verdict"]) for each in whole.records("steps.jsonl")]
    assert steps[2:4] == [(1, 0, "repeated"), (1, 1, "capped")]  # the order of round 4 sends no model
    run = fedlab.kill_in_round(4, "forward-killed", *settings, "--set", "client.options.kind=forward")
    check_resumed(fedlab, run, killed_in=4, rounds=5)
    same_numbers(whole.run, run)


@pytest.mark.slow
def test_a_finished_run_goes_on_to_more_rounds_and_ends_as_one_that_was_never_shorter(fedlab, base, same_numbers):
    short = fedlab.run("short", "--set", "rounds=5")
    assert short.code == 0, short.err
    longer = fedlab("run", "--resume", short.run, "--set", "rounds=7", *fedlab.on_cluster(), "--json")
    assert longer.code == 0, longer.err
    assert longer.summary["rounds"] == 7
    same_numbers(base.run, short.run)
    assert (short.run / "best.safetensors").read_bytes() == (base.run / "best.safetensors").read_bytes()
