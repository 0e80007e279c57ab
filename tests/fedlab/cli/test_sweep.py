"""`fedlab sweep`, its cells run by planned clients in this process."""

import json
from pathlib import Path

import pytest

from fedlab.config.file import load_experiment

SWEEP = """
name = "mine"
rounds = 2
[task]
max_length = 16
partition = { clients = 8 }
[backbone]
name = "bert-tiny"
[strategy]
name = "fedavg"
options = { clients_per_round = 4 }
[engine]
ray_address = "nowhere:1"
[sweep]
seed = [0, 1]
"""


@pytest.fixture
def command(fedlab, monkeypatch, tmp_path, planned_run):
    """Return a function that runs `fedlab sweep`, the cells of some seeds failing."""

    class Planned:
        stopped = False

        def run(self, words, on_round):
            experiment = load_experiment(Path(words[1]))
            if experiment.seed in run.failing:
                return 1, ["fedlab: nobody replied"]
            planned_run(experiment, Path(words[3]))
            return 0, []

        def stop(self):
            raise AssertionError("nothing is to be stopped")

    def run(*words, failing=()):
        run.failing = failing
        return fedlab("sweep", *words)

    monkeypatch.setattr("fedlab.sweep.sweep.CellProcesses", Planned)
    monkeypatch.setattr("fedlab.compare.plots.draw.plot_comparison", lambda comparison, folder: [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SWEEP)
    return run


def test_a_sweep_ends_with_the_comparison_and_its_folder(command, tmp_path):
    code, out, err = command("mine.toml", "--quiet")

    assert (code, err) == (0, "")
    assert out.startswith("2 cells: 0 done, 2 to train\n[1/2] seed-0: done")
    assert "Time to accuracy" in out
    assert out.endswith("sweep folder: runs/mine\n")
    assert (tmp_path / "runs" / "mine" / "comparison.md").exists()


def test_the_outcome_is_one_json_object_on_the_last_line(command):
    code, out, _ = command("mine.toml", "--json", "--out", "there", "--set", "sweep.seed=[4]")

    values = json.loads(out.splitlines()[-1])
    assert (code, values["sweep_dir"]) == (0, "there")
    assert [(cell["name"], cell["status"]) for cell in values["cells"]] == [("seed-4", "finished")]
    assert values["comparison"]["rows"][0]["seeds"] == [4]


def test_a_cell_that_failed_ends_with_1_and_one_line(command):
    code, out, err = command("mine.toml", "--quiet", failing=(1,))

    assert (code, err) == (1, "fedlab: 1 of 2 cells failed, such as seed-1: nobody replied\n")
    assert "seed-1: failed: nobody replied" in out
    assert "Time to accuracy" in out


def test_a_comparison_that_cannot_be_made_ends_with_1_and_one_line(command):
    code, _, err = command("mine.toml", "--quiet", "--set", "sweep.compare.baseline=FT")

    assert code == 1
    assert err.startswith("fedlab: runs/mine: the cells are finished, but cannot be compared: --baseline FT")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.toml"], "cannot be read"),
        (["mine.toml", "--set", "sweep.sed=[1]"], "unknown key sed"),
        (["mine.toml", "--parallel", "0"], "--parallel"),
        (["mine.toml", "--out", "mine.toml"], "cannot make the sweep's folder"),
    ],
)
def test_what_is_wrong_costs_one_line_and_leaves_nothing_behind(command, tmp_path, words, message):
    code, out, err = command(*words)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
