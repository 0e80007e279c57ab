"""Clients that fail are heard of, counted and left out; when all fail, the run ends with the reason."""


def failing(partitions):
    words = {"name": "clients.py:failing", "options.partitions": partitions}
    settings = [word for key, value in words.items() for word in ("--set", f"client.{key}={value}")]
    return [*settings, "--set", "strategy.name=fedavg", "--set", "strategy.options={clients_per_round = 9}"]


def test_a_run_goes_on_without_the_clients_that_fail_and_says_so(fedlab):
    ended = fedlab.run("some-fail", *failing([2, 7]), "--set", "rounds=2")

    assert ended.code == 0, ended.err
    assert ended.summary["client_failures"] == 4  # two clients in each of two rounds
    said = [line for line in (ended.out + ended.err).splitlines() if line.startswith("client ")]
    assert sorted(said) == sorted(
        2 * [f"client {number}: ValueError: partition {number} cannot be read, and that is that" for number in (2, 7)]
    )
    assert "Traceback" not in ended.out + ended.err
    log = (ended.run / "run.log").read_text()
    assert log.count("Traceback (most recent call last)") == 4
    assert 'raise ValueError(f"partition {partition} cannot be read' in log
    for record in ended.records("rounds.jsonl"):
        (group,) = record["groups"]
        assert (group["clients"], group["failures"]) == (9, 2)
    failed = [record for record in ended.records("clients.jsonl") if record["error"]]
    assert {record["partition_id"] for record in failed} == {2, 7}
    assert all(record["error"].startswith("ValueError: partition") for record in failed)
    assert all(record["joules"] == 0 for record in failed)


def test_a_round_in_which_all_fail_ends_the_run_with_the_reason(fedlab):
    ended = fedlab.run("all-fail", *failing(list(range(9))))

    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("fedlab: round 1: none of 9 clients replied: ValueError: partition ")
    assert not (ended.run / "summary.json").exists()
    shown = fedlab("show", ended.run, "--json")
    assert (shown.code, shown.summary["status"], shown.summary["rounds"]) == (0, "unfinished", 0)
