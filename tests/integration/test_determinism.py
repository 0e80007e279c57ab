"""The same experiment gives the same numbers, whoever computes them and however often."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_one_two_or_four_workers_give_the_same_numbers(base, fedlab, same_numbers, workers):
    again = fedlab.run(f"workers-{workers}", workers=workers)
    assert again.code == 0, again.err
    same_numbers(base.run, again.run)


def test_verify_says_how_two_runs_differ(base, fedlab, some_fail):
    differs = fedlab("verify", base.run, some_fail.run)
    assert (differs.code, differs.out) == (1, "")
    assert differs.err.startswith("fedlab: the runs differ: rounds.jsonl")
    assert "final.safetensors" in differs.err
    assert differs.err.count("\n") == 1


@pytest.mark.slow
def test_frozen_weights_in_int8_give_the_same_numbers_with_one_or_two_workers(fedlab, same_numbers):
    settings = ["backbone.precision=int8", "client.trains=lora", "client.axes={rank = 4}", "rounds=2"]
    settings += [
        "strategy={name = 'fedavg', options = {clients_per_round = 6}}",
        "fleet.devices={jetson-orin-nano = 1}",
    ]
    words = [word for each in settings for word in ("--set", each)]

    runs = [fedlab.run(f"int8-{workers}", *words, workers=workers) for workers in (1, 2)]

    assert [each.code for each in runs] == [0, 0], runs[0].err + runs[1].err
    assert {each["latency_provenance"] for each in runs[0].records("clients.jsonl")} == {"assumed"}  # billed in int8
    same_numbers(runs[0].run, runs[1].run)
