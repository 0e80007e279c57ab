"""The ready experiments are valid, and their runs are named as their files."""

from pathlib import Path

import pytest

from fedlab.config.file import load_experiment
from fedlab.devices.fleet import build_fleet
from fedlab.models.cnn.named import convnet
from fedlab.models.mixed_precision.algorithm import builtin_algorithms
from fedlab.server.requirements import check_boards
from fedlab.sweep.file import load_sweep

FOLDER = Path(__file__).parents[1] / "experiments"
FILES = sorted(FOLDER.glob("*.toml"))
SWEEPS = sorted((FOLDER / "sweeps").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_ready_experiment_is_valid_and_is_named_as_its_file(path):
    assert load_experiment(path).name == path.stem


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_ready_sweep_is_valid(path):
    assert len(load_sweep(path).cells) > 1


def test_the_sweep_of_adafl_compares_it_with_fixed_configurations_at_equal_simulated_time():
    path = FOLDER / "sweeps" / "adafl-lora-minilm.toml"
    experiments = [cell.experiment for cell in load_sweep(path).cells]

    assert {each.strategy.name for each in experiments} == {"adafl", "fedavg"}
    assert len({(each.simulated_hours, each.rounds) for each in experiments}) == 1
    assert experiments[0].simulated_hours is not None
    fixed = [each.client for each in experiments if each.strategy.name == "fedavg"]
    assert len({(each.depth, each.axes["rank"]) for each in fixed}) == len(fixed) > 1


def test_the_sweep_of_algorithms_has_all_of_them_on_a_processor_with_their_formats():
    experiments = [cell.experiment for cell in load_sweep(FOLDER / "sweeps" / "algorithms-mnist.toml").cells]
    named = {each.client.options.get("algorithm"): each for each in experiments}
    assert set(named) == {None, *builtin_algorithms()} - {"niti-current"}
    for experiment in experiments:
        check_boards(experiment, build_fleet(experiment.fleet, 4, 0, Path()), convnet("lenet"))


def test_flowertune_has_the_published_learning_rates():
    """`static_conf/config.yaml` of its task-general: from 5e-5 to 1e-6 in 200 rounds."""
    experiment = load_experiment(FOLDER / "flowertune-general.toml")
    options = experiment.client.options

    assert experiment.rounds == options["decay_rounds"] == 200
    assert (options["learning_rate"], options["final_learning_rate"], options["schedule"]) == (5e-5, 1e-6, "constant")
