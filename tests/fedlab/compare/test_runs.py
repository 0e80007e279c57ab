import json

import pytest

from fedlab.compare.runs import find_runs
from fedlab.errors import UserError


def names(runs):
    return [run.path.name for run in runs]


def test_a_run_is_read_with_its_seed_label_and_measurements(recorded):
    path = recorded("a", [(10.0, 0.4), (20.0, 0.6)], {"seed": 7, "label": "FT"})

    (run,) = find_runs([str(path)], "test")

    assert (run.path, run.seed, run.label, run.finished) == (path, 7, "FT", True)
    assert [(each.seconds, each.accuracy) for each in run.measured] == [(10.0, 0.4), (20.0, 0.6)]
    assert run.measured[-1].num_bytes == 2 * 2 * 1000


def test_a_run_without_a_summary_is_not_finished(recorded):
    (run,) = find_runs([str(recorded("a", [(10.0, 0.4)], finished=False))], "test")

    assert not run.finished


def test_a_folder_stands_for_all_runs_below_it(recorded, tmp_path):
    for name in ("sweep/b", "sweep/a", "other/c"):
        recorded(name, [(10.0, 0.4)])

    assert names(find_runs([str(tmp_path / "sweep")], "test")) == ["a", "b"]
    assert names(find_runs([str(tmp_path)], "test")) == ["c", "a", "b"]


def test_a_sweeps_cells_come_in_its_order(recorded, tmp_path):
    for name in ("sweep/a", "sweep/b"):
        recorded(name, [(10.0, 0.4)])
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"cells": [{"name": "b"}, {"name": "a"}, {"name": "c"}]}))

    assert names(find_runs([str(tmp_path / "sweep")], "test")) == ["b", "a"]


def test_a_run_named_twice_is_read_once(recorded, tmp_path):
    path = recorded("a", [(10.0, 0.4)])

    assert names(find_runs([str(path), str(tmp_path)], "test")) == ["a"]


def test_a_run_under_two_names_is_refused(recorded):
    path = recorded("a", [(10.0, 0.4)])

    with pytest.raises(UserError, match="is 'x' already, expected one label a run"):
        find_runs([f"x={path}", f"y={path}"], "test")


def test_a_label_without_a_run_is_refused(recorded):
    recorded("a", [(10.0, 0.4)])

    with pytest.raises(UserError, match="no run folder after the =, expected LABEL=RUN"):
        find_runs(["x="], "test")


def test_a_run_whose_clients_are_not_recorded_is_refused(recorded):
    path = recorded("a", [(10.0, 0.4), (20.0, 0.6)])
    file = path / "clients.jsonl"
    kept = [line for line in file.read_text().splitlines() if json.loads(line)["server_round"] != 2]
    file.write_text("".join(f"{line}\n" for line in kept))

    with pytest.raises(UserError, match=r"clients\.jsonl: no record of round 2, which had clients"):
        find_runs([str(path)], "test")


def test_a_run_that_lost_rounds_of_its_summary_is_refused(recorded):
    path = recorded("a", [(10.0, 0.4), (20.0, 0.6)])
    summary = json.loads((path / "summary.json").read_text()) | {"rounds": 3}
    (path / "summary.json").write_text(json.dumps(summary))

    with pytest.raises(UserError, match=r"rounds\.jsonl: 2 rounds, but the summary has 3"):
        find_runs([str(path)], "test")


def test_a_users_experiment_file_beside_runs_does_not_pass_for_a_run(recorded, tmp_path):
    recorded("a", [(10.0, 0.4)])
    (tmp_path / "experiment.toml").write_text("rounds = 3\n")

    assert names(find_runs([str(tmp_path)], "test")) == ["a"]


def test_a_method_can_be_named_with_the_run(recorded):
    path = recorded("a", [(10.0, 0.4)], {"label": "FT"})

    assert [run.label for run in find_runs([f"deployed={path}"], "test")] == ["deployed"]


def test_a_folder_with_an_equals_sign_in_its_name_is_a_folder(recorded):
    path = recorded("lr=0.1", [(10.0, 0.4)])

    (run,) = find_runs([str(path)], "test")
    assert (run.path, run.label) == (path, None)


def test_keys_younger_than_a_run_have_their_defaults(recorded):
    path = recorded("a", [(10.0, 0.4)])
    file = path / "experiment.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("pooling")))

    assert find_runs([str(path)], "test")[0].experiment["backbone"]["pooling"] == "cls"


def test_an_experiment_of_another_version_is_taken_as_it_is_written(recorded):
    path = recorded("a", [(10.0, 0.4)])
    file = path / "experiment.toml"
    file.write_text("from_the_future = 1\n" + file.read_text())

    assert find_runs([str(path)], "test")[0].experiment["from_the_future"] == 1


@pytest.mark.parametrize("what", ["missing", "file", "empty", "claimed"])
def test_what_is_no_run_fails_in_one_line_that_names_it(tmp_path, what):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "claimed").mkdir()
    (tmp_path / "claimed" / "experiment.toml").write_text("rounds = 1\n")

    with pytest.raises(UserError, match=what) as caught:
        find_runs([str(tmp_path / what)], "test")
    assert len(str(caught.value).splitlines()) == 1


def test_a_broken_record_is_named_by_file_and_line(recorded):
    path = recorded("a", [(10.0, 0.4)])
    with (path / "rounds.jsonl").open("a") as file:
        file.write("{}\n")

    with pytest.raises(UserError, match=r"rounds\.jsonl, line 2"):
        find_runs([str(path)], "test")
