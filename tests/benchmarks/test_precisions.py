"""How the comparison of precisions trains and what it says; it is run by hand."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fedlab.config.file import experiment_from

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "precisions.py"


@pytest.fixture(scope="module")
def precisions():
    spec = importlib.util.spec_from_file_location("precisions", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_models_are_averaged_by_their_examples(precisions):
    one, two = {"x": np.array([1.0, 2.0], np.float32)}, {"x": np.array([4.0, 8.0], np.float32)}
    mean = precisions.averaged([one, two], [2, 1])["x"]
    assert mean.tolist() == [2.0, 4.0]
    assert mean.dtype == np.float32


def test_a_precision_is_compared_with_float32_of_the_same_seed(precisions):
    found = {("fp32", 0): 0.5, ("int8", 0): 0.51, ("fp32", 1): 0.6, ("int8", 1): 0.595}
    assert precisions.differences(found, "int8") == pytest.approx([1.0, -0.5])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_model_learns_in_any_precision(precisions, tmp_path, monkeypatch, precision):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    draws, words = np.random.default_rng(0), (["sun", "noon", "light"], ["moon", "dark", "star"])
    texts = [f"{' '.join(draws.choice(words[number % 2], 6))},{number % 2}" for number in range(96)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *texts]))
    table = {
        "rounds": 6,
        "task": {"data": str(tmp_path / "texts.csv"), "max_length": 16, "partition": {"clients": 4}},
        "backbone": {"name": "bert-tiny", "precision": precision},
        "client": {"depth": 2, "options": {"optimizer": "adamw", "learning_rate": 0.005, "epochs": 5}},
    }
    test, validation = precisions.scores(experiment_from(table, "small"), cohort=4, pack=2)
    assert min(test, validation) > 0.8  # of two labels
