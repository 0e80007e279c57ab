"""Processes of runs and sweeps are killed at random moments: `make chaos`, with a few kills."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_digest_and_leave_nothing():
    command = [sys.executable, ROOT / "benchmarks" / "chaos.py", "--kills", "10", "--seed", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("10 kills (2 actor, 2 agent, 2 cell, 2 driver, 2 sweep): ")
