"""How the benchmark judges the memory of a run by round."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "rounds_memory.py"
MARKS = [50, 100, 390]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("rounds_memory", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_growth_is_from_round_100_to_the_end_by_medians_over_the_rounds_around(benchmark):
    flat = [(each, "driver resident", 100) for each in range(1, 401)]
    peak = [(100, "driver resident", 900), (395, "driver resident", 900)]
    leaking = [(each, "actor anonymous", 1000 + each) for each in range(1, 401)]
    values = benchmark.medians([*flat, *peak, *leaking], MARKS)
    assert values["driver resident"] == [100, 100, 100]
    assert values["actor anonymous"] == [1050, 1100, 1390]
    grown = benchmark.growth(values, MARKS)
    assert grown["driver resident"] == 0
    assert grown["actor anonymous"] == pytest.approx(290 / 1100)
