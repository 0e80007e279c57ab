"""What stops a run from outside: the last line is fedlab's and says how to go on, and no process is left."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def started_by(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    children = [int(each) for task in Path(f"/proc/{pid}/task").glob("*/children") for each in task.read_text().split()]
    return [*children, *(each for child in children for each in started_by(child))]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def agent_of(started: list[int]) -> int:
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in started}
    return next(pid for pid, name in names.items() if b"RuntimeEnvAgent" in name)


def stop(how: str, driver: subprocess.Popen, started: list[int]) -> None:
    """Stop a run in one of the ways in which it is stopped from outside."""
    if how == "agent":
        subprocess.run(["kill", "-9", str(agent_of(started))], check=True)
    else:
        driver.send_signal(signal.Signals[how])


KILLED = "killed, or ended by the loss of a process of Ray"


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("SIGTERM", 130, "interrupted by SIGTERM"),
        ("SIGKILL", -9, KILLED),
        ("agent", 1, KILLED),
    ],
)
def test_a_run_that_is_stopped_says_how_to_go_on_and_leaves_no_process(fedlab, tmp_path, how, code, words):
    out = tmp_path / "run"
    process = fedlab.start("run", "small.toml", "--out", out, "--workers", "1", "--quiet", "--set", "rounds=1000")
    while not (out / "checkpoint" / "tree.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    started = started_by(process.pid)
    stop(how, process, started)

    _, said = process.communicate(timeout=120)

    assert process.returncode == code
    assert said.splitlines()[-1] == f"fedlab: {words}; resume with: fedlab run --resume {out}"
    deadline = time.monotonic() + 20
    while left := [pid for pid in started if lives(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
