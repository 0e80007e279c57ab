"""Sweeps whose cells are run by planned clients in this process, in the place of `fedlab run` in one of its own."""

import json
import os
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from fedlab.config.file import load_experiment
from fedlab.errors import RunFailedError, UserError
from fedlab.results.folder import RunFolder
from fedlab.results.recorder import Recorder
from fedlab.sweep.sweep import run_sweep

BASE = """
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

[client]
depth = 1

[engine]
ray_address = "nowhere:1"
"""
pytestmark = pytest.mark.usefixtures("undrawn")

SEEDS = BASE + "\n[sweep]\nseed = [0, 1]\n"
LINKS = BASE + "\n[sweep]\n'link.options.bandwidth' = ['0.1MB/s', '1MB/s', '10MB/s']\n"


class Planned:
    """Runs cells with planned clients; the `failing` ones end with an error, and after `cut_off` of them all stops."""

    def __init__(self, planned_run, *, failing=(), cut_off=None):
        self.calls = []
        self.stopped = False
        self._planned_run, self._failing, self._cut_off = planned_run, failing, cut_off
        self._lock = threading.Lock()

    def run(self, words, on_round):
        with self._lock:
            self.calls.append(list(words))
            if self._cut_off is not None and len(self.calls) > self._cut_off:
                raise KeyboardInterrupt
            if words[1] == "--resume":
                folder = RunFolder(Path(words[2]))
                experiment = load_experiment(folder.experiment)
                for file in folder.path.iterdir():
                    file.unlink()
            else:
                experiment, folder = load_experiment(Path(words[1])), RunFolder(Path(words[3]))
            if experiment.name in self._failing:
                return 1, ["round 1/2  0.1 s", "Traceback", "fedlab: round 2: none of 4 clients replied"]
            self._planned_run(experiment, folder.path)
            on_round(1)
            on_round(2)
            return 0, []

    def stop(self):
        self.stopped = True

    @property
    def cells(self):
        return [Path(words[2] if words[1] == "--resume" else words[3]).name for words in self.calls]


@pytest.fixture
def undrawn(monkeypatch):
    """Draw nothing, which takes most of the time of a sweep of planned clients."""
    monkeypatch.setattr("fedlab.results.write.plot_accuracy", lambda *_, **__: None)
    monkeypatch.setattr("fedlab.results.write.try_report", lambda *_: None)
    monkeypatch.setattr("fedlab.compare.plots.draw.plot_comparison", lambda comparison, folder: [])


@pytest.fixture
def sweep(planned_run, tmp_path):
    """Return a function that sweeps a file's text with planned clients: its outcome, and what was run."""

    def call(text=SEEDS, *, settings=(), failing=(), cut_off=None, **options):
        (tmp_path / "mine.toml").write_text(text)
        processes = Planned(planned_run, failing=failing, cut_off=cut_off)
        call.processes = processes
        return run_sweep(
            tmp_path / "mine.toml", out=tmp_path / "out", settings=settings, processes=processes, **options
        )

    return call


def test_every_cell_is_run_into_a_folder_of_its_name(sweep, tmp_path):
    result = sweep()

    assert [(cell.name, cell.status) for cell in result.cells] == [("seed-0", "finished"), ("seed-1", "finished")]
    assert [RunFolder(tmp_path / "out" / name).experiment_table()["seed"] for name in ("seed-0", "seed-1")] == [0, 1]
    assert result.folder == tmp_path / "out"


def test_a_sweep_ends_with_tables_pictures_and_a_report_of_all_cells(sweep, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("fedlab.compare.plots.draw.plot_comparison", lambda *arguments: drawn.append(arguments))

    result = sweep()

    (row,) = result.comparison.rows
    assert (row.method, row.seeds, row.unfinished) == ("fedavg", (0, 1), 0)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        "comparison.md", "comparison.csv", "comparison.json", "report.html", "sweep.json", "sweep.lock",
    }  # fmt: skip
    assert "1 method, 2 runs" in (tmp_path / "out" / "report.html").read_text()
    assert drawn == [(result.comparison, tmp_path / "out" / "plots")]


def test_what_is_done_is_not_run_again(sweep):
    sweep()
    result = sweep()

    assert sweep.processes.calls == []
    assert [cell.status for cell in result.cells] == ["finished", "finished"]
    assert result.comparison is not None


def kept_in(words):
    return words[words.index("--activations") + 1] if "--activations" in words else None


def test_cells_of_the_same_data_share_stored_activations_until_all_are_done(sweep, tmp_path):
    sweep(SEEDS + "'client.depth' = [1, 2]\n")

    kept = [kept_in(words) for words in sweep.processes.calls]
    assert kept[0] == kept[1] is not None
    assert kept[2] == kept[3] is not None
    assert kept[0] != kept[2]
    assert Path(kept[0]).parent == tmp_path / "out" / ".activations"
    assert not (tmp_path / "out" / ".activations").exists()


def test_a_cell_that_is_alone_with_its_data_keeps_no_activations(sweep):
    sweep()
    assert [kept_in(words) for words in sweep.processes.calls] == [None, None]


def test_cells_that_are_added_are_run_alone(sweep):
    sweep()
    sweep(settings=["sweep.seed=[0, 1, 2]"])

    assert sweep.processes.cells == ["seed-2"]


def test_what_was_cut_off_is_resumed(sweep, planned_run, tmp_path):
    (tmp_path / "mine.toml").write_text(SEEDS)
    sweep(settings=["sweep.seed=[0]"])
    (tmp_path / "out" / "seed-0" / "summary.json").unlink()

    result = sweep()

    assert sweep.processes.calls[0][:3] == ["run", "--resume", str(tmp_path / "out" / "seed-0")]
    assert sweep.processes.calls[1][2] == "--out"
    assert [cell.status for cell in result.cells] == ["finished", "finished"]


def test_a_cell_that_outlived_its_sweep_is_waited_for_and_then_resumed(sweep, tmp_path, monkeypatch):
    sweep(settings=["sweep.seed=[0]"])
    run = RunFolder(tmp_path / "out" / "seed-0")
    run.summary_file.unlink()
    orphan, observer = Recorder(run), Mock()
    monkeypatch.setattr("fedlab.sweep.work.pause", lambda seconds: orphan.close())  # it ends while we wait

    result = sweep(observers=[observer])

    assert [call.args[0] for call in observer.on_message.call_args_list] == [
        f"seed-0: process {os.getpid()} is still writing this run: waiting until it has ended"
    ]
    assert sweep.processes.calls[0][:3] == ["run", "--resume", str(run.path)]
    assert [cell.status for cell in result.cells] == ["finished", "finished"]


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(sweep, tmp_path):
    result = sweep(failing=["seed-0"])

    failed, other = result.cells
    assert (failed.status, failed.reason) == ("failed", "round 2: none of 4 clients replied")
    assert other.status == "finished"
    assert result.failed == [failed]
    assert "Traceback" in (tmp_path / "out" / "seed-0.log").read_text()
    assert [each["status"] for each in json.loads((tmp_path / "out" / "sweep.json").read_text())["cells"]] == [
        "failed",
        "finished",
    ]


def test_a_cell_that_failed_is_tried_again_and_its_log_goes_when_it_is_done(sweep, tmp_path):
    sweep(failing=["seed-0"])
    result = sweep()

    assert sweep.processes.cells == ["seed-0"]
    assert result.failed == []
    assert not (tmp_path / "out" / "seed-0.log").exists()


def test_an_interrupted_sweep_says_how_far_it_is_and_goes_on(sweep):
    with pytest.raises(RunFailedError, match="interrupted: 1 of 2 cells are done; run the same command to resume"):
        sweep(cut_off=1)
    assert sweep.processes.stopped

    result = sweep()

    assert sweep.processes.cells == ["seed-1"]
    assert [cell.status for cell in result.cells] == ["finished", "finished"]


def test_a_cell_whose_experiment_has_changed_is_refused_before_anything_is_run(sweep, tmp_path):
    sweep(settings=["sweep.seed=[0]"])

    with pytest.raises(UserError, match=r"seed-0: its experiment has changed since: client\.depth was 1, is 2"):
        sweep(settings=["client.depth=2"])
    assert sweep.processes.calls == []
    assert not (tmp_path / "out" / "seed-1").exists()


def test_cells_that_differ_in_links_alone_are_trained_once(sweep, tmp_path):
    result = sweep(LINKS)

    assert sweep.processes.cells == ["bandwidth-0.1MBs"]
    assert [cell.repriced_from for cell in result.cells] == [None, "bandwidth-0.1MBs", "bandwidth-0.1MBs"]
    ends = [RunFolder(tmp_path / "out" / cell.name).rounds()[-1].simulated_seconds for cell in result.cells]
    assert ends == sorted(ends, reverse=True)
    assert any("3 runs" in note for note in result.comparison.notes)


def test_repricing_equals_training(sweep, planned_run, tmp_path):
    result = sweep(LINKS)
    billed = RunFolder(tmp_path / "out" / "bandwidth-10MBs")

    trained = planned_run(load_experiment(billed.experiment), tmp_path / "trained")

    assert (billed.rounds(), billed.clients()) == (trained.rounds(), trained.clients())
    assert result.cells[2].repriced_from is not None


def test_repricing_is_remembered(sweep):
    sweep(LINKS)

    assert [cell.repriced_from for cell in sweep(LINKS).cells] == [None, "bandwidth-0.1MBs", "bandwidth-0.1MBs"]


def test_all_cells_are_trained_if_asked_for(sweep):
    sweep(LINKS, repricing=False)

    assert len(sweep.processes.cells) == 3


def test_searches_are_trained_over_every_link(sweep):
    result = sweep(LINKS, settings=["strategy={name = 'adafl', options = {clients_per_round = 6}}"])

    assert len(sweep.processes.cells) == 3
    assert [cell.repriced_from for cell in result.cells] == [None] * 3


def test_another_cell_is_trained_where_the_first_fails(sweep):
    result = sweep(LINKS, failing=["bandwidth-0.1MBs"])

    assert sweep.processes.cells == ["bandwidth-0.1MBs", "bandwidth-1MBs"]
    assert [cell.status for cell in result.cells] == ["failed", "finished", "finished"]
    assert result.cells[2].repriced_from == "bandwidth-1MBs"


def test_cells_side_by_side_come_to_the_same(sweep):
    result = sweep(parallel=2)

    assert sorted(sweep.processes.cells) == ["seed-0", "seed-1"]
    assert [cell.name for cell in result.cells] == ["seed-0", "seed-1"]


def test_cells_side_by_side_share_cores_and_memory(sweep, monkeypatch, tmp_path):
    monkeypatch.setattr("fedlab.sweep.work.usable_cores", lambda: 8)

    sweep(parallel=4)

    for words in sweep.processes.calls:
        assert words[words.index("--workers") + 1] == "2"
        assert words[words.index("--ray-address") + 1] == "nowhere:1"
        assert RunFolder(Path(words[3])).experiment_table()["engine"]["cache_bytes"] > 0


def test_a_cell_that_is_alone_is_told_to_start_its_own_ray_as_that_of_an_earlier_sweep_has_ended(sweep):
    alone = SEEDS.replace('ray_address = "nowhere:1"\n', "").replace("[0, 1]", "[0]")

    sweep(alone)

    (words,) = sweep.processes.calls
    assert words[words.index("--ray-address") + 1] == "local"


def test_a_wrong_name_in_any_cell_is_refused_before_anything_is_written(sweep, tmp_path):
    with pytest.raises(UserError, match=r"cell name-constnt: .*did you mean 'constant'"):
        sweep(BASE + "\n[sweep]\n'link.name' = ['constant', 'constnt']\n")
    assert not (tmp_path / "out").exists()


def test_more_clients_a_round_than_there_are_is_refused_before_anything_is_written(sweep, tmp_path):
    with pytest.raises(UserError, match=r"cell seed-0: strategy\.options\.clients_per_round = 9"):
        sweep(settings=["strategy.options.clients_per_round=9"])
    assert not (tmp_path / "out").exists()


def test_cells_that_cannot_be_compared_are_done_all_the_same(sweep):
    result = sweep(SEEDS + "[sweep.compare]\nbaseline = 'FT'\n")

    assert result.comparison is None
    assert "--baseline FT: no such method here" in result.trouble
    assert [cell.status for cell in result.cells] == ["finished", "finished"]


def test_observers_are_told_of_the_plan_and_of_every_cell(sweep):
    told = []

    class Observer:
        def on_plan(self, cells, trainings):
            told.append(("plan", len(cells), trainings))

        def on_start(self, cell, how, rounds):
            told.append((how, cell, rounds))

        def on_round(self, cell, server_round):
            told.append(("round", cell, server_round))

        def on_end(self, state):
            told.append((state.status, state.name))

        def on_message(self, text):
            told.append(("message", text))

    sweep(LINKS, settings=["sweep.link.options.bandwidth=['1MB/s', '2MB/s']"], observers=[Observer()])

    assert told == [
        ("plan", 2, 1),
        ("train", "bandwidth-1MBs", 2),
        ("round", "bandwidth-1MBs", 1),
        ("round", "bandwidth-1MBs", 2),
        ("finished", "bandwidth-1MBs"),
        ("reprice", "bandwidth-2MBs", None),
        ("finished", "bandwidth-2MBs"),
    ]
