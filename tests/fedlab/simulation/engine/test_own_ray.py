"""A Ray of a run's own starts beside it, and its end leaves neither process nor file, however early it comes."""

import errno
import json
import os
import sys
import time
from pathlib import Path

import pytest

from fedlab.errors import RunFailedError
from fedlab.simulation.engine import own_ray as module
from fedlab.simulation.engine.own_ray import own_ray, provide_token


@pytest.fixture
def hosted(monkeypatch, tmp_path):
    """Return a function that replaces what the process of Ray does; its folders are in `tmp_path`."""
    monkeypatch.setattr(module, "short_parent", lambda longest: tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")

    def replace(program):
        words = [sys.executable, "-c", f"import sys, time; {program}; sys.stdin.read()"]
        monkeypatch.setattr(module, "host_command", lambda name: words)

    return replace


def says(**answer: object) -> str:
    return f"print({json.dumps(answer)!r}, flush=True)"


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_address_is_what_the_process_says(hosted):
    hosted(says(address="127.0.0.1:6379"))
    with own_ray(3) as own:
        assert (own.cores, own.address, own.address) == (3, "127.0.0.1:6379", "127.0.0.1:6379")


def test_nobody_waits_for_a_ray_that_is_not_needed_and_nothing_of_it_is_left(hosted, tmp_path):
    child = f"subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(600)'])"
    hosted(f"import subprocess; print({child}.pid, flush=True); time.sleep(600)")
    with own_ray(1) as own:
        started = [own.host.pid, int(own.host.stdout.readline())]
        assert all(map(lives, started))
    deadline = time.monotonic() + 10
    while any(map(lives, started)):  # the child's parent has ended: the system removes it
        assert time.monotonic() < deadline
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (says(error="Exception: The current node timed out", errno=None), "Exception: The current node timed out"),
        ("sys.exit('ModuleNotFoundError: no ray')", "ModuleNotFoundError: no ray"),
        ("sys.exit(0)", "its process was ended"),
    ],
)
def test_a_ray_that_does_not_start_is_one_line_and_leaves_nothing(hosted, tmp_path, program, reason):
    hosted(program)
    with (
        pytest.raises(RunFailedError, match=f"^Ray does not start on this machine: {reason}; if other"),
        own_ray(1) as own,
    ):
        assert own.address is None
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_the_systems_error(hosted):
    hosted(says(error="OSError: no room", errno=errno.ENOSPC, filename="/tmp/x"))
    with pytest.raises(OSError, match="No space left on device: '/tmp/x'"), own_ray(1) as own:
        assert own.address is None


def test_ray_gets_a_token_where_it_cannot_keep_one_and_the_users_own_counts(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # restored after the test
        monkeypatch.delenv(name)
    provide_token(tmp_path / "home" / ".ray")
    assert "RAY_AUTH_TOKEN" not in os.environ

    provide_token(Path("/proc/self/no-such-home/.ray"))  # not even root can make it
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64

    provide_token(Path("/proc/self/no-such-home/.ray"))
    assert os.environ["RAY_AUTH_TOKEN"] == token
