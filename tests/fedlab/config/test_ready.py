"""A starting experiment is a ready one under a new name, with its comments."""

import tomllib

import pytest

from fedlab.config.file import load_experiment
from fedlab.config.ready import about, ready_experiments, started_from
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


def test_wheels_hold_the_ready_experiments():
    project = tomllib.loads((ready_experiments()["quickstart"].parents[1] / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["data-files"] == {"share/fedlab/experiments": ["experiments/*.toml"]}
