"""What `make chaos` reports; test_chaos.py of the integration tests runs it."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "chaos"


@pytest.fixture(scope="module")
def outcome():
    spec = importlib.util.spec_from_file_location("outcome", FOLDER / "outcome.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_kills_are_counted_by_kind_and_so_are_those_after_which_a_run_was_resumed_and_is_equal(outcome):
    runs = [
        outcome.Outcome(name="run-1", kills=("driver", "actor", "driver"), resumed=True),
        outcome.Outcome(name="run-2", kills=("actor",), resumed=True, fault="other digests"),
        outcome.Outcome(name="sweep-1", kills=("cell",), resumed=False, fault="exit code 1"),
        outcome.Outcome(name="run-3", kills=(), resumed=True),
    ]
    rows = [line.split() for line in outcome.table(runs, ["driver", "actor", "cell"]).splitlines()]
    assert rows == [
        ["kind", "kills", "resumed", "equal"],
        ["driver", "2", "2", "2"],
        ["actor", "2", "2", "1"],
        ["cell", "1", "0", "0"],
        ["all", "5", "4", "3"],
    ]


def test_a_run_says_what_was_killed_and_whether_it_is_equal(outcome):
    good = outcome.Outcome(name="run-1", kills=("driver", "actor"), resumed=True, seconds=61.7)
    assert good.line() == "run-1: driver, actor: digests equal (62 s)"
