"""A cell of a sweep as a process of its own: `fedlab run`, listened to and stopped if need be."""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

_FEDLAB = (sys.executable, "-P", "-m", "fedlab")  # -P: a user's own clients.py must not shadow ours
_ROUND = re.compile(r"round (\d+)\b")
_LINES_KEPT = 400  # of the output of a cell, for its log if it fails
_GRACE_SECONDS = 20.0  # from asking a process to end to ending it


class CellProcesses:
    """Starts cells, any number at a time, and ends all that are running.

    A process that outlives this one ends at its next round, for nobody listens to it any more; what it has done is in
    its checkpoint.
    """

    def __init__(self, command: Sequence[str] = _FEDLAB) -> None:
        self._command = command
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = Lock()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Tell whether all were asked to end; none is started any more."""
        return self._stopped

    def run(self, words: Sequence[str], on_round: Callable[[int], None]) -> tuple[int, list[str]]:
        """Run `fedlab` with these words to its end; return its exit code and what it said last, errors included."""
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
        """Ask every process to end, which leaves its run to be resumed; end those that do not."""
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
        # In a session of its own: Ctrl-C comes to the sweep alone, which passes it on.
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
    """Return why a process failed: its own last word if it had one, else its exit code."""
    words = [line.removeprefix("fedlab: ") for line in said if line.startswith("fedlab: ")]
    return words[-1] if words else f"ended with exit code {code}"


def _python_path() -> str:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)
