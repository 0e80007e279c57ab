"""Cells of a sweep as processes: each is a `fedlab run` whose output is read and which can be stopped."""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

_FEDLAB = (sys.executable, "-P", "-m", "fedlab")  # -P: a user's clients.py must not shadow ours
_ROUND = re.compile(r"round (\d+)\b")
_LINES_KEPT = 400  # of the output of a cell, for its log if it fails
_GRACE_SECONDS = 20.0  # from asking a process to end until killing it


class CellProcesses:
    """Runs cells as processes, any number at a time, and stops all running ones.

    A process that outlives this one ends at its next round, because its output is closed; its work is in its
    checkpoint.
    """

    def __init__(self, command: Sequence[str] = _FEDLAB) -> None:
        self._command = command
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = Lock()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Tell whether `stop` was called; no process is started after it."""
        return self._stopped

    def run(self, words: Sequence[str], on_round: Callable[[int], None]) -> tuple[int, list[str]]:
        """Run `fedlab` with these arguments; return its exit code and its last lines of output, errors included."""
        process = self._start(words)
        if process is None:
            return 1, ["fedlab: interrupted"]
        said: deque[str] = deque(maxlen=_LINES_KEPT)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line.rstrip("\n"))
                if found := _ROUND.match(line):
                    on_round(int(found[1]))
            return process.wait(), list(said)
        finally:
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """Ask every process to end, so that its run can be resumed; kill those that do not."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.send_signal(signal.SIGINT)
        try:
            for process in running:
                process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for process in running:
                process.kill()

    def _start(self, words: Sequence[str]) -> "subprocess.Popen[str] | None":
        # A session of its own: Ctrl-C only reaches the sweep, which passes it on.
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [*self._command, *words],
                env=os.environ | {"PYTHONPATH": _python_path(), "TERM": "dumb", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
            return process


def reason_of(said: Sequence[str], code: int) -> str:
    """Return why a process failed: its last error line, else its exit code."""
    words = [line.removeprefix("fedlab: ") for line in said if line.startswith("fedlab: ")]
    return words[-1] if words else f"ended with exit code {code}"


def _python_path() -> str:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)
