"""How the benchmark splits the time of a run into stages, and judges it."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "startup.py"
STAGES = {"imports": 2.0, "data, Ray": 1.0, "actors": 3.0, "rounds": 0.5, "export": 0.25, "end": 1.25}


@pytest.fixture(scope="module")
def startup():
    spec = importlib.util.spec_from_file_location("startup", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_stage_lasts_from_the_mark_of_the_one_before_to_its_own(startup):
    assert startup.stages([100.0, 102.0, 103.0, 106.0, 106.5, 106.75, 108.0]) == STAGES


def test_the_marks_are_read_from_what_a_run_has_written_and_when(startup, tmp_path):
    rounds = [json.dumps({"wall_seconds": seconds}) for seconds in (3.0, 3.2, 3.5)]
    texts = {"experiment.toml": "", "rounds.jsonl": "\n".join(rounds), "engine.json": "{}"}
    for (name, text), written in zip(texts.items(), (1003, 1007, 1008), strict=True):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (written, written))
    assert startup.marks_of(tmp_path) == [1003, 1006.5, 1007, 1008]


def test_the_table_has_seconds_and_shares(startup):
    lines = startup.table(STAGES | {"raylet (beside)": 1.5}).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["imports", "2.00", "s", "25%"],
        ["data,", "Ray", "1.00", "s", "12%"],
    ]
    assert [line.split() for line in lines[-2:]] == [["sum", "8.00", "s"], ["raylet", "(beside)", "1.50", "s"]]


def test_medians_are_of_each_stage_alone(startup):
    runs = [{"imports": 1.0, "end": 9.0}, {"imports": 2.0, "end": 1.0}, {"imports": 9.0, "end": 2.0}]
    assert startup.median_run(runs) == {"imports": 2.0, "end": 2.0}


def test_what_takes_longer_than_its_bar_is_named(startup):
    quick = {"run": 7.0, "run in a session": 3.5, "--help": 0.5}
    assert startup.too_long(quick) == []
    assert startup.too_long(quick | {"run": 7.2}) == ["run takes 7.20 s, more than 7 s"]
