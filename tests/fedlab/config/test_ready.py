"""A starting experiment is a ready one under a new name, with its comments."""

import sysconfig
import tomllib
from pathlib import Path

import pytest

from fedlab.config.file import load_experiment
from fedlab.config.ready import about, experiments_folder, ready_experiments, started_from
from fedlab.errors import UserError


@pytest.mark.parametrize("ready", ready_experiments())
def test_a_ready_experiment_is_a_start_under_a_new_name(ready, tmp_path):
    (tmp_path / "mine.toml").write_text(started_from("mine", ready))
    found, first = load_experiment(tmp_path / "mine.toml"), load_experiment(ready_experiments()[ready])
    assert found.name == "mine"
    assert found.model_copy(update={"name": first.name, "base_folder": first.base_folder}) == first


@pytest.mark.parametrize("path", ready_experiments().values(), ids=ready_experiments())
def test_a_ready_experiment_says_in_a_sentence_what_it_is(path):
    assert 20 < len(about(path)) < 400


def test_an_unknown_start_and_a_name_that_is_no_file_name_are_refused():
    with pytest.raises(UserError, match="--from quikstart: no ready experiment: did you mean 'quickstart'"):
        started_from("mine", "quikstart")
    for name in ("../mine", ".mine", "", "a b"):
        with pytest.raises(UserError, match="a name may have letters"):
            started_from(name, "quickstart")


def test_wheels_hold_all_experiments():
    folder = experiments_folder()
    project = tomllib.loads((folder.parent / "pyproject.toml").read_text())
    taken = project["tool"]["setuptools"]["data-files"]
    held = {
        Path(place) / path.name for place, globs in taken.items() for each in globs for path in folder.parent.glob(each)
    }
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert held == {Path("share/fedlab") / path.relative_to(folder.parent) for path in files}


@pytest.mark.parametrize("place", ["experiments", "share/fedlab/experiments"])
def test_experiments_are_found_in_a_checkout_and_where_pip_install_target_puts_them(place, tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()  # of another package, if it has no quickstart
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "quickstart.toml").touch()
    monkeypatch.setattr("fedlab.__file__", str(tmp_path / "fedlab" / "__init__.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / "elsewhere"))
    assert experiments_folder() == tmp_path / place
