"""The comparison of reused shifts with shifts found in every batch, on drawn images."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "rescaling.py"


@pytest.fixture
def compared(tmp_path):
    """Return a function that runs the comparison on 150 images of noise, a fifth of them to measure on."""
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (150, 28, 28), dtype=np.uint8)
    file = tmp_path / "images.npz"
    np.savez(file, image=images, label=drawn.integers(0, 10, 150), test=np.arange(150) % 5 == 0)

    def run(*words):
        command = [sys.executable, BENCHMARK, file, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_a_row_for_each_mu_has_both_accuracies_their_difference_and_what_was_skipped(compared):
    lines = compared("--seeds", "2", "--mu", "1", "2").stdout.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["mu", "1", "2", lines[3]]
    for line in lines[1:3]:
        _, every, reused, difference, skipped = line.split(" | ")
        means = [float(re.findall(r"[\d.]+", each.split(", ")[-1])[0]) for each in (every, reused)]
        assert float(difference.split()[0]) == pytest.approx(means[1] - means[0], abs=0.11)  # which are rounded
        assert 0 < int(skipped.rstrip("%")) < 100
    assert lines[3].startswith("all: ")


def test_a_single_seed_is_refused_for_it_has_no_standard_error(compared):
    done = compared("--seeds", "1")
    assert done.returncode == 2
    assert "--seeds: expected 2 or more" in done.stderr
