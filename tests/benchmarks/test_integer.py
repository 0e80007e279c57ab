"""The benchmark of integer steps: its emulation computes what the integers do, and its rows have what is promised."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlab.models.cnn.layers import weight_shapes
from fedlab.models.integer.network import FIRST, initial_weights, logits_of, quantised_inputs

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "integer.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_integer", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batch():
    drawn = np.random.default_rng(0)
    return torch.from_numpy(drawn.standard_normal((6, 1, 28, 28))).float(), torch.from_numpy(drawn.integers(0, 10, 6))


def test_the_emulation_computes_the_logits_of_the_integers(benchmark):
    layers, _ = benchmark.MODELS["lenet"]
    images, _ = batch()
    weights = initial_weights(weight_shapes(layers), FIRST, np.random.default_rng(0))
    expected = logits_of(layers, weights, quantised_inputs(images, FIRST), FIRST)
    logits, exponent, _ = benchmark.Emulation(layers).forward(images)
    assert logits.tolist() == expected.mantissa.tolist()
    assert exponent == expected.exponent


def test_the_emulation_moves_weights_as_far_as_the_integers(benchmark):
    layers, _ = benchmark.MODELS["lenet"]
    images, labels = batch()
    emulation = benchmark.Emulation(layers)
    start = {name: weight.clone() for name, weight in emulation.weights.items()}
    emulation.step(images, labels)
    for name, weight in emulation.weights.items():
        step = float((weight - start[name]).abs().max())
        assert 2 ** (benchmark.MU - 1) <= step <= 2**benchmark.MU + 1, name


def test_rows_have_both_speedups(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "QUICK", {"lenet": (2, 1)})
    monkeypatch.setattr(sys, "argv", ["integer.py", "--quick", "--json", str(tmp_path / "rows.json")])
    threads = torch.get_num_threads()
    try:
        benchmark.main()
    finally:
        torch.set_num_threads(threads)
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert row["model"] == "lenet"
    assert row["speedup_emulation"] == pytest.approx(row["emulation_seconds"] / row["integer_seconds"])
    assert row["speedup_fp32"] == pytest.approx(row["fp32_seconds"] / row["integer_seconds"])
