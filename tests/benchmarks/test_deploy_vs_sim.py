"""What the benchmark says of its figures; it is run by hand, on a quiet machine."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "deploy_vs_sim.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("deploy_vs_sim", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(download, compute, upload):
    errors = {"download_seconds": download, "compute_seconds": compute, "upload_seconds": upload}
    return [{"stage": stage, "error": error} for stage, error in errors.items()]


def test_transfers_may_be_off_by_5_percent_and_computing_by_15(benchmark):
    assert benchmark.too_far(rows(0.049, -0.149, -0.049)) == []
    said = ["download_seconds: +5.1%, at most 5% is allowed", "compute_seconds: -15.1%, at most 15% is allowed"]
    assert benchmark.too_far(rows(0.051, -0.151, 0.0)) == said


def test_an_error_that_is_no_number_is_too_large(benchmark):
    assert len(benchmark.too_far(rows(0.0, float("nan"), 0.0))) == 1


@pytest.mark.parametrize("nodes", ["1", "5"])
def test_it_takes_two_to_four_nodes(benchmark, monkeypatch, capsys, nodes):
    monkeypatch.setattr(sys, "argv", ["deploy_vs_sim.py", "--nodes", nodes])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "invalid choice" in capsys.readouterr().err
