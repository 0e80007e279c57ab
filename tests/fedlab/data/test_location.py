import os

import pytest

from fedlab.config.hub_names import DATA_VARIABLE
from fedlab.config.schema import TaskTable
from fedlab.data.location import Place, fingerprint, locate
from fedlab.errors import UserError


def test_what_the_data_are_is_told_from_their_name(tmp_path):
    (tmp_path / "here.csv").touch()
    (tmp_path / "folder").mkdir()
    places = {
        name: locate(TaskTable(data=name), tmp_path.joinpath)
        for name in ("docstrings", "here.csv", "folder", "mine.py:load", "package.module:load", "ag_news", "owner/name")
    }
    assert places == {
        "docstrings": Place.BUILT_IN,
        "here.csv": tmp_path / "here.csv",
        "folder": tmp_path / "folder",
        "mine.py:load": Place.FUNCTION,
        "package.module:load": Place.FUNCTION,
        "ag_news": Place.HUB,
        "owner/name": Place.HUB,
    }


def test_a_copy_of_a_hub_data_set_comes_before_the_hub_and_after_the_experiments_own_files(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "copies"))
    copy, own = tmp_path / "copies" / "agnews27k", tmp_path / "SetFit" / "ag_news"
    copy.mkdir(parents=True)
    table = TaskTable(data="SetFit/ag_news")

    assert locate(table, tmp_path.joinpath) == copy
    assert locate(table.model_copy(update={"format": "hub"}), tmp_path.joinpath) is Place.HUB
    own.mkdir(parents=True)
    assert locate(table, tmp_path.joinpath) == own


def test_a_known_data_set_without_a_copy_is_of_the_hub_in_spite_of_the_format_of_its_copies(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    table = TaskTable(data="SemEvalWorkshop/sem_eval_2010_task_8", format="semeval2010-task8")
    assert locate(table, tmp_path.joinpath) is Place.HUB


def test_format_hub_overrides_a_folder_of_the_same_name(tmp_path):
    (tmp_path / "ag_news").mkdir()
    assert locate(TaskTable(data="ag_news", format="hub"), tmp_path.joinpath) is Place.HUB


@pytest.mark.parametrize("data", ["./x", "/no/x", "~/x", "x.csv", "x.jsonl.gz", "X.PARQUET", "a/b/c"])
def test_what_looks_like_a_path_and_is_not_there_is_a_missing_file(tmp_path, data):
    with pytest.raises(UserError, match=f"missing data file: task.data = '{data}'"):
        locate(TaskTable(data=data), tmp_path.joinpath)


def test_a_file_format_makes_any_name_a_path(tmp_path):
    with pytest.raises(UserError, match="missing data file"):
        locate(TaskTable(data="sem", format="semeval2010-task8"), tmp_path.joinpath)


def test_the_fingerprint_of_a_folder_changes_with_its_files(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a")
    table = TaskTable(data=".")
    before = fingerprint(table, tmp_path.joinpath)
    assert fingerprint(table, tmp_path.joinpath) == before
    path.write_text("b")
    os.utime(path, ns=(1, 1))
    assert fingerprint(table, tmp_path.joinpath) != before


def test_only_the_files_of_the_splits_count_where_they_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("a")
    table = TaskTable(data=".", files={"train": "a.csv"})
    before = fingerprint(table, tmp_path.joinpath)
    (tmp_path / "other.csv").write_text("b")
    assert fingerprint(table, tmp_path.joinpath) == before


def test_nothing_is_known_of_a_function(tmp_path):
    assert fingerprint(TaskTable(data="mine.py:load"), tmp_path.joinpath) is None
