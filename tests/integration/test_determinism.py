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
