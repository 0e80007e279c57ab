"""Clients that fail are heard of, counted and left out; when all fail, the run ends with the reason."""

import pytest


def test_a_run_goes_on_without_the_clients_that_fail(some_fail):
    assert some_fail.code == 0, some_fail.err
    assert some_fail.summary["rounds"] == 2
    assert some_fail.summary["client_failures"] == 4  # two clients in each of two rounds
    for record in some_fail.records("rounds.jsonl"):
        (group,) = record["groups"]
        assert (group["clients"], group["failures"]) == (9, 2)


def test_each_failure_is_one_line_on_screen_and_a_traceback_in_the_log(some_fail):
    screen = some_fail.out + some_fail.err
    said = [line for line in screen.splitlines() if line.startswith("client ")]
    assert sorted(said) == sorted(
        2 * [f"client {number}: ValueError: partition {number} cannot be read, and that is that" for number in (2, 7)]
    )
    assert "Traceback" not in screen
    log = (some_fail.run / "run.log").read_text()
    assert log.count("Traceback (most recent call last)") == 4
    assert 'raise ValueError(f"partition {partition} cannot be read' in log


def test_a_failure_is_recorded_with_its_reason_and_costs_nothing(some_fail):
    failed = [record for record in some_fail.records("clients.jsonl") if record["error"]]
    assert {(record["server_round"], record["partition_id"]) for record in failed} == {(1, 2), (1, 7), (2, 2), (2, 7)}
    assert all(record["error"].startswith("ValueError: partition") for record in failed)
    assert all(record["joules"] == record["bytes_up"] == 0 for record in failed)


@pytest.mark.slow
def test_a_round_in_which_all_fail_ends_the_run_with_the_reason(fedlab):
    settings = ["--set", "client.name=clients.py:failing", "--set", f"client.options.partitions={list(range(9))}"]
    ended = fedlab.run("all-fail", *settings)

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("fedlab: round 1: none of 6 clients replied: ValueError: partition ")
    assert not (ended.run / "summary.json").exists()
    shown = fedlab("show", ended.run, "--json")
    assert (shown.code, shown.summary["status"], shown.summary["rounds"]) == (0, "unfinished", 0)


FEDAVG = ["--set", "strategy={name = 'fedavg', options = {clients_per_round = 3}}"]


@pytest.mark.slow
def test_training_that_diverges_ends_the_run_with_what_to_lower(fedlab):
    ended = fedlab.run("diverges", *FEDAVG, "--set", "client.options.learning_rate=1e6")

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("fedlab: round 1: training diverges: the loss is ")
    assert "lower client.options.learning_rate (now 1000000.0)" in ended.err
    assert not (ended.run / "summary.json").exists()


@pytest.mark.slow
def test_clients_that_can_be_trained_alone_but_not_together_are_and_it_is_said(fedlab):
    ended = fedlab.run("lonely", "--set", "client.name=clients.py:lonely", "--set", "rounds=1")

    assert (ended.code, ended.summary["client_failures"]) == (0, 0), ended.err
    assert "trained alone, not together, for MemoryError: 2 are too many" in ended.out + ended.err
    assert "Traceback (most recent call last)" in (ended.run / "run.log").read_text()
