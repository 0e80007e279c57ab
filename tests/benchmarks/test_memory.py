"""How benchmarks measure the memory of a command."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"
HOLD = "import time; held = bytearray(b'x') * {size}; time.sleep({seconds})"
# As Ray does: a process that leaves its parent, which ends.
LEAVE = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {hold!r}], start_new_session=True)"


@pytest.fixture(scope="module")
def memory():
    spec = importlib.util.spec_from_file_location("memory", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_process_that_left_its_parent_is_counted_and_those_of_others_are_not(memory, monkeypatch):
    monkeypatch.setattr(memory, "_PERIOD_SECONDS", 0.05)
    own = LEAVE.format(hold=HOLD.format(size=10**8, seconds=1.5)) + "; time.sleep(2)"
    other = subprocess.Popen([sys.executable, "-c", HOLD.format(size=3 * 10**8, seconds=60)])
    try:
        peak = memory.peak_memory([sys.executable, "-c", own])
    finally:
        other.kill()
        other.wait()
    assert 1e8 < peak.all_bytes < 2e8
    assert peak.actors_bytes == 0


def test_actors_are_told_by_their_title(memory, monkeypatch):
    monkeypatch.setattr(memory, "_PERIOD_SECONDS", 0.05)
    actor = ["ray::ClientActor.handle", "-c", HOLD.format(size=10**8, seconds=1)]
    own = f"import subprocess, sys; held = bytearray(10**8); subprocess.run({actor}, executable=sys.executable)"
    peak = memory.peak_memory([sys.executable, "-c", own])
    assert 1e8 < peak.actors_bytes < peak.all_bytes - 1e8


def test_a_command_that_fails_raises_its_code(memory):
    with pytest.raises(subprocess.CalledProcessError) as raised:
        memory.peak_memory([sys.executable, "-c", "raise SystemExit(3)"])
    assert raised.value.returncode == 3
