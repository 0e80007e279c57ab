"""The ready experiments are valid, and their runs are named as their files."""

from pathlib import Path

import pytest

from fedlab.config.file import load_experiment

FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_ready_experiment_is_valid_and_is_named_as_its_file(path):
    assert load_experiment(path).name == path.stem
