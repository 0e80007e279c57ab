"""The ready experiments are valid, and their runs are named as their files."""

from pathlib import Path

import pytest

from fedlab.config.file import load_experiment

FOLDER = Path(__file__).parents[1] / "experiments"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_ready_experiment_is_valid_and_is_named_as_its_file(path):
    assert load_experiment(path).name == path.stem


def test_flowertune_has_the_published_learning_rates():
    """`static_conf/config.yaml` of its task-general: from 5e-5 to 1e-6 in 200 rounds."""
    experiment = load_experiment(FOLDER / "flowertune-general.toml")
    options = experiment.client.options

    assert experiment.rounds == options["decay_rounds"] == 200
    assert (options["learning_rate"], options["final_learning_rate"], options["schedule"]) == (5e-5, 1e-6, "constant")
