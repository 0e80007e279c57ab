"""What the comparison of precisions says of its figures; it is run by hand, on a quiet machine."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "products.py"


@pytest.fixture(scope="module")
def products():
    spec = importlib.util.spec_from_file_location("products", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_precision_is_a_step_and_so_is_every_kernel(products):
    assert list(products.fastest_seconds(products.precision_steps(2), 1)) == ["fp32", "bf16", "int8", "int4"]
    assert list(products.fastest_seconds(products.kernel_steps(2), 1)) == ["fp32", "float32's kernel", "_int_mm"]


def test_each_step_is_compared_with_float32(products):
    assert products.table("a step", {"fp32": 0.5, "int8": 0.25}).splitlines() == [
        "| a step | seconds | times as fast |",
        "|---|---|---|",
        "| fp32 | 0.5000 | 1.00 |",
        "| int8 | 0.2500 | 2.00 |",
    ]


def test_the_fastest_turn_counts(products, monkeypatch):
    durations = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(products, "stopwatch", lambda: lambda: next(durations))
    done = []
    assert products.fastest_seconds({"fp32": lambda: done.append(1)}, 3) == {"fp32": 1.0}
    assert len(done) == 4  # the first one is not measured
