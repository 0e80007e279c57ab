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
    right = {("fp32", 0): [1, 0, 0, 1], ("int8", 0): [1, 1, 0, 1], ("fp32", 1): [1, 1, 0, 1], ("int8", 1): [1, 1, 0, 0]}
    found = {key: precisions.Answers(right=np.array(each, float), counted=np.ones(4)) for key, each in right.items()}

    assert precisions.differences(found, "int8") == pytest.approx([25.0, -25.0])
    # The four texts gain 0, 1/2, 0 and -1/2 answers; their mean is 0.
    assert precisions.error_by_texts(found, "int8") == pytest.approx(100 * 0.5**0.5 / 4)
    assert precisions.error_by_seeds([1.0, 2.0, 3.0]) == pytest.approx(1 / 3**0.5)
    assert np.isnan(precisions.error_by_seeds([1.0]))


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
    experiment = experiment_from(table, "small")
    workbench = precisions.prepare_workbench(experiment)

    arrays, at = precisions.trained_model(experiment, workbench, cohort=4, pack=2)

    for split in ("test", "validation"):
        found = precisions.answers(workbench, arrays, split, at)
        assert found.score == precisions.measure(workbench, arrays, split, at) > 0.8  # of two labels
        assert found.counted.tolist() == [1.0] * len(workbench.tokens(split))
