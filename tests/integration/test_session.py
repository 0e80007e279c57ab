"""A session of warm actors: runs use it, with the same numbers, and what happens to one of them hurts no other."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROUNDS = ("--set", "rounds=2")


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def here(fedlab, tmp_path_factory):
    """Return the command line with a cache of its own, and so without another's session."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return replace(fedlab, environment=fedlab.environment | {"FEDLAB_CACHE": cache})


@pytest.fixture(scope="module")
def process(here):
    """Start a session and return its process; stop it in the end."""
    started = here("session", "start", "--json")
    assert started.code == 0, started.err
    yield started.summary["process_id"]
    here("session", "stop")


def own(here, out):
    return here("run", "small.toml", "--out", out, *ROUNDS, "--ray-address", "local", "--workers", "2", "--quiet")


def test_a_run_in_a_session_has_the_numbers_of_one_alone(here, process, same_numbers):
    status = here("session", "status")
    inside = here("run", "small.toml", "--out", "inside", *ROUNDS, "--workers", "2", "--quiet")
    alone = own(here, "alone")

    assert "a session runs" in status.out
    assert (inside.code, alone.code) == (0, 0), inside.err + alone.err
    assert "session" not in inside.out
    same_numbers(inside.run, alone.run)


def test_two_runs_share_a_session_and_a_killed_one_leaves_it_to_the_other(here, process, same_numbers, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    waiting = {"name": "clients.py:waiting", "options.at_round": 2, "options.while_there": str(gate)}
    settings = [word for key, value in waiting.items() for word in ("--set", f"client.{key}={value}")]
    killed = here.start("run", "small.toml", "--out", tmp_path / "killed", *ROUNDS, *settings, "--quiet")
    wait_until(lambda: killed.poll() is not None or rounds_in(tmp_path / "killed"))
    beside = here("run", "small.toml", "--out", "beside", *ROUNDS, "--quiet")
    killed.send_signal(signal.SIGKILL)
    _, said = killed.communicate()
    gate.unlink()
    after = here("run", "small.toml", "--out", "after", *ROUNDS, "--quiet")

    assert "killed, or ended by the loss of a process of Ray; resume with: " in said
    assert (beside.code, after.code) == (0, 0), beside.err + after.err
    same_numbers(beside.run, after.run)
    assert lives(process)


def rounds_in(run: Path) -> bool:
    return (run / "rounds.jsonl").exists() and (run / "rounds.jsonl").read_text() != ""


def test_a_run_with_another_environment_says_why_it_does_not_use_the_session(here, process):
    words = ("run", "small.toml", "--out", "other", "--set", "rounds=1", "--quiet")
    ended = here(*words, HF_HUB_CACHE="/nowhere")
    line = "the session is not used, because it was started with another value of: HF_HUB_CACHE; "
    assert (ended.code, ended.out.splitlines()[0].startswith(line)) == (0, True), ended.out + ended.err


def test_a_session_that_has_died_is_noticed_and_its_processes_are_gone(here):
    started = here("session", "start", "--json").summary
    subprocess.run(["kill", "-9", str(started["process_id"])], check=True)
    ended = here("run", "small.toml", "--out", "without", "--set", "rounds=1", "--quiet")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("the session has died, and this run starts its own Ray; ")
    assert json.loads(here("session", "status", "--json").out) == {"running": False}


def test_a_stopped_session_leaves_no_process_and_no_file(here, tmp_path):
    there = replace(here, environment=here.environment | {"RAY_TMPDIR": "/tmp", "FEDLAB_CACHE": str(tmp_path)})
    started = there("session", "start", "--json").summary
    group = os.getsid(started["process_id"])
    stopped = there("session", "stop")

    assert stopped.out == "the session has ended\n"
    wait_until(lambda: not any(in_session(int(each.name), group) for each in Path("/proc").glob("[0-9]*")))
    assert not list(tmp_path.glob("session-*"))
    assert there("session", "stop").out == "there is no session\n"


def in_session(pid: int, group: int) -> bool:
    try:
        return os.getsid(pid) == group and lives(pid)
    except OSError:
        return False
