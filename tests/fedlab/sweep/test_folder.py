import json

import pytest

from fedlab.compare.runs import cells_in_order
from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.sweep.file import SweepCell
from fedlab.sweep.folder import CellState, cell_progress, claim_sweep, only_here

CELL = SweepCell(name="a", experiment=experiment_from({"name": "a", "rounds": 3, "client": {"depth": 2}}, "test"))


@pytest.fixture
def folder(tmp_path):
    return claim_sweep(tmp_path / "sweep")


def begin(folder, experiment=CELL.experiment):
    run = folder.run("a")
    run.path.mkdir()
    run.write_experiment(experiment)
    run.rounds_file.touch()
    return run


def test_a_new_folder_and_one_that_was_begun_are_taken(tmp_path, folder):
    folder.write_states("mine", [CellState(name="a", status="waiting")])

    assert claim_sweep(folder.path) == folder


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")

    with pytest.raises(UserError, match="choose another --out"):
        claim_sweep(tmp_path / "other")
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["file"]


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match="cannot make the sweep's folder"):
        claim_sweep(tmp_path / "file")


def test_two_sweeps_in_one_folder_at_a_time_are_refused(folder):
    with only_here(folder), pytest.raises(UserError, match="another fedlab sweep"), only_here(folder):
        pass
    with only_here(folder):
        pass  # the first has ended


def test_states_are_read_back_in_their_order(folder):
    folder.write_states("mine", [CellState(name=name, status="waiting") for name in ("b", "a", "c")])
    for name in ("a", "b"):
        folder.run(name).path.mkdir()

    assert [path.name for path in cells_in_order(folder.path)] == ["b", "a"]
    assert json.loads(folder.state_file.read_text())["name"] == "mine"


def test_a_folder_that_is_no_sweep_has_no_order(tmp_path):
    (tmp_path / "sweep.json").write_text("[1]")

    assert cells_in_order(tmp_path) == []
    assert cells_in_order(tmp_path / "none") == []


def test_a_cell_is_absent_begun_or_finished(folder):
    assert cell_progress(folder, CELL) == "absent"

    run = begin(folder)
    assert cell_progress(folder, CELL) == "begun"

    run.write_summary({"status": "finished"})
    assert cell_progress(folder, CELL) == "finished"


def test_what_a_process_left_that_was_killed_as_it_began_is_cleared_away(folder):
    run = folder.run("a")
    run.path.mkdir()
    run.rounds_file.touch()

    assert cell_progress(folder, CELL) == "absent"
    assert list(run.path.iterdir()) == []


def test_records_are_never_cleared_away(folder):
    run = folder.run("a")
    run.path.mkdir()
    run.rounds_file.write_text("{}\n")

    with pytest.raises(UserError, match="not a run folder"):
        cell_progress(folder, CELL)
    assert run.rounds_file.exists()


def test_a_cell_whose_experiment_has_changed_is_refused_with_the_first_difference(folder):
    begin(folder, experiment_from({"name": "a", "rounds": 3, "client": {"depth": 1}}, "test"))

    with pytest.raises(UserError) as caught:
        cell_progress(folder, CELL)
    assert "its experiment has changed since: client.depth was 1, is 2; move it away" in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        {"name": "b"},
        {"base_folder": "/elsewhere"},
        {"engine": {"workers": 7}},
        {"tracking": {"to": ["wandb"]}},
    ],
)
def test_what_says_nothing_of_a_runs_outcome_may_change(folder, key):
    begin(folder, experiment_from({"name": "a", "rounds": 3, "client": {"depth": 2}} | key, "test"))

    assert cell_progress(folder, CELL) == "begun"


def test_an_experiment_of_another_version_is_refused(folder):
    run = begin(folder)
    run.experiment.write_text("from_the_future = 1\n" + run.experiment.read_text())

    with pytest.raises(UserError, match="has changed since: unknown key from_the_future"):
        cell_progress(folder, CELL)
