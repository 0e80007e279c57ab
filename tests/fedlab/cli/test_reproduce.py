"""`fedlab reproduce` prints ours beside theirs, and runs the mini variant of what takes training."""

import json
from pathlib import Path

import pytest

from fedlab.paper.reproduction import mini_of
from fedlab.sweep.folder import CellState
from fedlab.sweep.sweep import SweepResult


@pytest.fixture
def command(fedlab, monkeypatch):
    """Run `fedlab reproduce` with a sweep that trains nothing; return exit code, output, errors and what was swept."""
    swept = []

    def run_sweep(path, **options):
        swept.append((path.name, options["parallel"], options["settings"]))
        status = "failed" if "failing" in options["settings"] else "finished"
        cells = (CellState(name="one", status=status, reason="nobody replied"),)
        return SweepResult(folder=Path("runs/mini"), cells=cells, comparison=None)

    monkeypatch.setattr("fedlab.sweep.sweep.run_sweep", run_sweep)
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *words: (*fedlab("reproduce", *words), swept)


@pytest.mark.parametrize("what", ["table1", "table3"])
def test_tables_without_training_are_printed_cell_by_cell(command, what):
    _, shown, _, _ = command(what)
    code, out, _, swept = command(what, "--json")
    found = json.loads(out)
    assert code == 0
    assert swept == []
    assert found["sweep"] is None
    for section in found["sections"]:
        for cell in section["cells"]:
            assert cell["relative_difference"] == pytest.approx(cell["ours"] / cell["paper"] - 1)
    assert found["disagreements"]
    assert "Where the sources disagree" in shown


@pytest.mark.parametrize("what", ["table2", "table5", "figure6", "figure7", "fwdllm-pacing"])
def test_what_takes_training_runs_its_mini_variant_after_the_costs(command, what):
    code, out, _, swept = command(what, "--parallel", "2", "--set", "rounds=1", "--quiet")
    assert code == 0
    assert swept == [(f"{what}-mini.toml", 2, ["rounds=1"])]
    assert out.index("Where the sources disagree") < out.index("sweep folder")


def test_a_mini_variant_that_failed_ends_with_1_and_one_line(command):
    code, out, err, _ = command("figure7", "--set", "failing", "--quiet", "--json")
    assert (code, err) == (1, "fedlab: 1 of 1 cells failed, such as one: nobody replied\n")
    assert json.loads(out.splitlines()[-1])["sweep"]["cells"][0]["status"] == "failed"


def test_costs_alone_train_nothing(command):
    code, out, _, swept = command("figure7", "--no-run")
    assert (code, swept) == (0, [])
    assert "43.95 / 43.95" in out
    assert "88.44 / 88.44" in out or "88.45 / 88.44" in out


def test_table_5_has_a_mini_variant_for_each_task(command):
    _, _, _, swept = command("table5", "--task", "semeval", "--quiet")
    assert swept == [("table5-semeval-mini.toml", 1, [])]


@pytest.mark.parametrize("what", ["fwdllm-time", "fwdllm-pacing"])
def test_figures_of_fwdllm_are_printed_cell_by_cell_and_mark_what_cannot_be_rebuilt(command, what):
    code, shown, _, swept = command(what, "--no-run")
    assert (code, swept) == (0, [])
    assert "not rebuilt / " in shown
    found = json.loads(command(what, "--no-run", "--json")[1])
    cells = [cell for section in found["sections"] for cell in section["cells"]]
    differences = [cell["relative_difference"] for cell in cells if cell["relative_difference"] is not None]
    assert differences
    assert max(map(abs, differences)) <= 0.01
    assert {cell["note"] for cell in cells if cell["ours"] is None and cell["paper"]} == {"not rebuilt"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table6"], "'table6' is not one of"),
        (["figure6", "--task", "agnews"], "--task agnews: only table5 is trained on"),
        (["fwdllm-time", "--no-run", "--task", "agnews"], "--task agnews: only table5 is trained on"),
        (["fwdllm-times"], "'fwdllm-times' is not one of"),
        (["fwdllm-energy", "--no-run", "--set", "rounds=2"], "--out and --set are for the training of a mini variant"),
        (["table1", "--task", "agnews"], "--task agnews: only table5 is trained on"),
        (["table1", "--set", "rounds=2"], "--out and --set are for the training of a mini variant"),
        (["figure6", "--no-run", "--set", "rounds=2"], "--out and --set are for the training of a mini variant"),
    ],
)
def test_what_is_not_published_is_refused(command, words, message):
    code, _, err, swept = command(*words)
    assert code == 2
    assert message in err
    assert swept == []


def test_an_installation_without_the_experiments_names_the_missing_one(monkeypatch, tmp_path, command):
    monkeypatch.setattr("fedlab.paper.reproduction.experiments_folder", lambda: tmp_path)
    code, _, err, _ = command("table5")
    assert code == 2
    assert f"{tmp_path / 'paper' / 'table5-mini.toml'}: missing: install fedlab again" in err
    assert mini_of("table1", "20news") is None
