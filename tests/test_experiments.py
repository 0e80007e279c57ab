"""The ready experiments are valid, and their runs are named as their files."""

from pathlib import Path

import pytest

from fedlab.config.file import load_experiment
from fedlab.config.hub_names import DATA_VARIABLE, MODELS_VARIABLE
from fedlab.devices.fleet import build_fleet
from fedlab.estimate.experiment.estimate import estimate_experiment
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_ready_experiment_is_priced_without_its_data_and_weights(path, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    experiment = load_experiment(path)
    if "mu" in experiment.client.options:  # a schedule may go past the second round
        experiment = experiment.with_({"client.options.mu": 1})
    experiment = experiment.with_(rounds=2)

    planned = estimate_experiment(experiment, trajectory=None, batches=2, labels=4).plain()

    assert planned["seconds"] > 0
    assert planned["joules"] > 0
    assert planned["peak_memory_bytes"] > 0


def test_no_ready_experiment_names_a_place_that_only_its_authors_have():
    for path in FOLDER.rglob("*.toml"):
        assert "shared/" not in path.read_text(), path
        assert 'data = "/' not in path.read_text(), path


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_ready_sweep_is_valid(path):
    assert len(load_sweep(path).cells) > 1


@pytest.mark.parametrize("name", ["adafl-lora-minilm", "adafl-lora-smollm2", "fwdllm-agnews-arms"])
def test_a_sweep_with_adafl_compares_it_with_others_at_equal_simulated_time(name):
    path = FOLDER / "sweeps" / f"{name}.toml"
    experiments = [cell.experiment for cell in load_sweep(path).cells]

    assert {each.strategy.name for each in experiments} > {"adafl"}
    assert len({(each.simulated_hours, each.rounds) for each in experiments}) == 1
    assert experiments[0].simulated_hours is not None


def test_adafl_over_lora_is_compared_with_several_fixed_configurations():
    cells = load_sweep(FOLDER / "sweeps" / "adafl-lora-minilm.toml").cells
    fixed = [each.experiment.client for each in cells if each.experiment.strategy.name == "fedavg"]
    assert len({(each.depth, each.axes["rank"]) for each in fixed}) == len(fixed) > 1


def test_the_arms_of_forward_gradients_have_one_cohort_link_and_board_and_but_for_the_search_one_trained_set():
    experiments = [each.experiment for each in load_sweep(FOLDER / "sweeps" / "fwdllm-agnews-arms.toml").cells]
    assert [each.strategy.name for each in experiments] == ["fwdllm", "fwdllm", "fedsgd", "fedavg", "adafl"]
    assert {each.strategy.options["clients_per_round"] for each in experiments} == {10}
    for alike in ("fleet", "link", "task", "backbone"):
        assert all(getattr(each, alike) == getattr(experiments[0], alike) for each in experiments)
    assert {(each.client.depth, each.client.width) for each in experiments[:4]} == {(1, 2)}


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
