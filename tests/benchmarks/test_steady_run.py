"""The board on which benchmarks run fedlab."""

import importlib.util
from pathlib import Path
from typing import get_args

import pytest

from fedlab.config.file import load_experiment
from fedlab.devices.fleet import build_fleet
from fedlab.server.requirements import check_boards
from fedlab.workload.passes import Precision
from fedlab.workload.shape import ModelShape

FOLDER = Path(__file__).parents[2] / "benchmarks"
BERT = ModelShape(family="bert", blocks=2, hidden=64, intermediate=100, heads=4, vocabulary=500)
LLAMA = ModelShape(family="llama", blocks=2, hidden=64, intermediate=100, heads=4, vocabulary=500)


@pytest.fixture
def board(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)  # of a module beside it
    spec = importlib.util.spec_from_file_location("steady_run", FOLDER / "steady_run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BOARD


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("shape", [BERT, LLAMA], ids=lambda shape: shape.family)
def test_the_board_has_figures_for_every_precision_of_frozen_weights(board, tmp_path, shape, precision):
    file = tmp_path / "one.toml"
    file.write_text("rounds = 1\n")
    experiment = load_experiment(file, [board, f"backbone.precision={precision}"])

    fleet = build_fleet(experiment.fleet, 1, 0, tmp_path)

    check_boards(experiment, fleet, shape)
    assert [profile.name for profile in fleet.profiles] == ["jetson-orin-nano"]
