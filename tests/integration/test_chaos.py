"""Processes of runs and sweeps are killed at random moments: `make chaos`, with ten kills."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_kills_at_random_moments_change_no_digest_and_leave_nothing():
    words = ["--kills", "10", "--seed", "1", "--kinds", "driver,actor,cell"]
    command = [sys.executable, ROOT / "benchmarks" / "chaos", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "left behind: nothing" in done.stdout
    assert done.stdout.splitlines()[-2].split() == ["all", "10", "10", "10"]
