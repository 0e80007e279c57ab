"""The same experiment gives the same numbers, whoever computes them and however often."""

import pytest


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_one_two_or_four_workers_give_the_same_numbers(base, fedlab, same_numbers, workers):
    again = fedlab.run(f"workers-{workers}", workers=workers)
    assert again.code == 0, again.err
    same_numbers(base.run, again.run)


def test_another_seed_gives_other_numbers_and_verify_says_which(base, fedlab):
    other = fedlab.run("seed-6", "--seed", "6", "--set", "rounds=1")
    assert other.code == 0, other.err
    differs = fedlab("verify", "base", "seed-6")
    assert (differs.code, differs.out) == (1, "")
    assert differs.err.startswith("fedlab: the runs differ: rounds.jsonl")
    assert differs.err.count("\n") == 1
