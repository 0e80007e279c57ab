import itertools
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save_file

from fedlab.errors import DamagedError, UserError
from fedlab.server.checkpoint import FORMAT, load_tree, save_tree

DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_])
ARRAYS = arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS | ARRAYS | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def same(one, other):
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and same_bits(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or one != one)  # noqa: PLR0124  (not a number is itself here)


def same_bits(one, other):
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def die(*_):
    raise KeyboardInterrupt


def killed_at_rename(monkeypatch, number, folder, tree):
    """Save a tree in a process that dies at its rename of this number, counted from 1."""
    rename, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        (die if len(calls) == number else rename)(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", replace)
        with pytest.raises(KeyboardInterrupt):
            save_tree(folder, tree)


@given(TREES)
@settings(derandomize=True, max_examples=100)
def test_a_tree_comes_back_as_it_was(tmp_path_factory, tree):
    folder = tmp_path_factory.getbasetemp() / "round-trip" / "checkpoint"

    save_tree(folder, tree)

    assert same(load_tree(folder), tree)


def test_keys_with_slashes_are_not_run_together(tmp_path):
    tree = {"a": {"b": np.array([1])}, "a/b": np.array([2])}

    save_tree(tmp_path / "checkpoint", tree)

    assert same(load_tree(tmp_path / "checkpoint"), tree)


def test_a_value_that_cannot_be_kept_is_named_with_its_place_and_the_last_tree_stays(tmp_path):
    save_tree(tmp_path / "checkpoint", {"step": 1})

    with pytest.raises(UserError, match=r"cannot be kept in a checkpoint: /parts/1 is of the type object; accepted: "):
        save_tree(tmp_path / "checkpoint", {"parts": [1, object()]})

    assert load_tree(tmp_path / "checkpoint") == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_an_array_that_is_a_view_comes_back_whole(tmp_path):
    table = np.arange(12).reshape(3, 4)

    save_tree(tmp_path / "checkpoint", {"view": table.T[1:, ::-1]})

    assert load_tree(tmp_path / "checkpoint")["view"].tolist() == table.T[1:, ::-1].tolist()


def test_where_nothing_was_saved_there_is_nothing(tmp_path):
    assert load_tree(tmp_path / "checkpoint") is None


def test_the_last_tree_saved_is_loaded_and_nothing_else_is_left(tmp_path):
    for step in range(3):
        save_tree(tmp_path / "runs" / "checkpoint", {"step": step})

    assert load_tree(tmp_path / "runs" / "checkpoint") == {"step": 2}
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_at_a_rename_leaves_the_tree_before(tmp_path, monkeypatch, number):
    folder = tmp_path / "checkpoint"
    save_tree(folder, {"step": 1})

    killed_at_rename(monkeypatch, number, folder, {"step": 2})

    assert load_tree(folder) == {"step": 1}


@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_while_writing_after_a_kill_at_a_rename_leaves_that_tree_too(tmp_path, monkeypatch, number):
    folder = tmp_path / "checkpoint"
    save_tree(folder, {"step": 1})
    killed_at_rename(monkeypatch, number, folder, {"step": 2})

    monkeypatch.setattr("fedlab.server.checkpoint.save_file", die)
    with pytest.raises(KeyboardInterrupt):
        save_tree(folder, {"step": 3})

    assert load_tree(folder) == {"step": 1}


@pytest.mark.parametrize("number", [1, 2])
def test_after_a_kill_saving_goes_on(tmp_path, monkeypatch, number):
    folder = tmp_path / "checkpoint"
    save_tree(folder, {"step": 1})
    killed_at_rename(monkeypatch, number, folder, {"step": 2})

    save_tree(folder, {"step": 3})

    assert load_tree(folder) == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_power_failure_at_any_moment_leaves_a_whole_tree_and_after_saving_the_new_one(tmp_path, lossy_disk):
    trees = [{"step": step, "array": np.full(3, step)} for step in (1, 2, 3)]
    for fails_at in itertools.count(1):
        root = tmp_path / f"disk-{fails_at}"
        root.mkdir()
        for tree in trees[:2]:
            save_tree(root / "checkpoint", tree)
        left, failed = lossy_disk(root, lambda: save_tree(root / "checkpoint", trees[2]), fails_at=fails_at)  # noqa: B023
        for place in left:
            tree = load_tree(place / "checkpoint")
            assert same(tree, trees[2]) or (failed and same(tree, trees[1])), fails_at
            save_tree(place / "checkpoint", trees[0])  # and saving goes on
            assert same(load_tree(place / "checkpoint"), trees[0])
        if not failed:
            break
    assert fails_at > 8  # syncs of two files and two folders, two renames, and deletions


@pytest.mark.parametrize("file", ["arrays.safetensors", "tree.json"])
@pytest.mark.parametrize("content", [None, b"", b"\xff{"])
def test_a_tree_that_cannot_be_read_is_refused_with_its_place(tmp_path, file, content):
    folder = tmp_path / "checkpoint"
    save_tree(folder, {"step": 1, "array": np.ones(3)})
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)

    with pytest.raises(UserError, match="the checkpoint cannot be read") as caught:
        load_tree(folder)

    assert str(caught.value).startswith(f"{folder}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_files_of_two_different_trees_are_refused(tmp_path):
    save_tree(tmp_path / "one", {"array": np.ones(3)})
    save_tree(tmp_path / "other", {"other": np.ones(3)})
    shutil.copy(tmp_path / "other" / "tree.json", tmp_path / "one")

    with pytest.raises(DamagedError, match="has been changed since it was written"):
        load_tree(tmp_path / "one")


@pytest.mark.parametrize("change", ["arrays", "tree"])
def test_a_checkpoint_that_was_changed_is_refused(tmp_path, change):
    folder = tmp_path / "checkpoint"
    save_tree(folder, {"array": np.ones(3), "count": 4})
    if change == "arrays":
        save_file({"0/array": np.full(3, np.nan)}, folder / "arrays.safetensors")
    else:
        (folder / "tree.json").write_text((folder / "tree.json").read_text().replace('"count": 4', '"count": 5'))
    with pytest.raises(DamagedError, match="has been changed since it was written"):
        load_tree(folder)


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 100_000, "3", '{"format": 3}', '{"format": ' + "9" * 5000 + "}"], ids=len
)
def test_a_tree_that_is_none_is_one_line(tmp_path, text):
    save_tree(tmp_path / "checkpoint", {})
    (tmp_path / "checkpoint" / "tree.json").write_text(text)
    with pytest.raises(UserError, match="checkpoint") as caught:
        load_tree(tmp_path / "checkpoint")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "format_of"),
    [({"standing": {}}, 1), ({"format": FORMAT + 1, "tree": {}}, FORMAT + 1), ([], 1)],
    ids=["before formats had numbers", "of a later version", "of something else"],
)
def test_a_checkpoint_of_another_version_is_refused_in_one_line(tmp_path, content, format_of):
    save_tree(tmp_path / "checkpoint", {"a": 1})
    (tmp_path / "checkpoint" / "tree.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        load_tree(tmp_path / "checkpoint")
    assert str(caught.value) == (
        f"{tmp_path / 'checkpoint'}: a checkpoint of format {format_of}, this version of fedlab reads format {FORMAT}: "
        "resume with the version that began the run, or start a new run"
    )
