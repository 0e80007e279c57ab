"""A small process that outlives this one by a moment, if it is killed: it says so, and removes what is left.

Nothing else can: a process that is killed, or that a library ends at once, runs no code any more.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Self

from fedlab.common.clock import pause
from fedlab.common.scratch import remove_leftovers

_END = "end"
_POLL_SECONDS = 0.01


class Watcher:
    """Waits beside this process, from `with` on; `last_words` is what it says if the process is killed."""

    def __init__(self, last_words: str) -> None:
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fedlab.common.watcher", str(os.getpid())],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C and a closed terminal do not reach it
            text=True,
        )
        self.last_words(last_words)

    def __enter__(self) -> Self:
        """Watch."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the watcher: this process ends by itself."""
        self._tell(_END)
        with contextlib.suppress(OSError):
            self._channel().close()
        self._process.wait()

    def last_words(self, text: str) -> None:
        """Replace what the watcher says if this process is killed."""
        self._tell(text)

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the watcher was killed; the run does not need it
            self._channel().write(json.dumps(text) + "\n")
            self._channel().flush()

    def _channel(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin


def watch(channel: IO[str], stderr: IO[str], process_id: int) -> None:
    """Wait for the end of the channel; unless the other process said that it ends, clean up and say its last words.

    The channel ends while the system still closes the other process's files, and what it has locked is not left yet.
    """
    words = ""
    for line in channel:
        words = json.loads(line)
    if words == _END:
        return
    while os.getppid() == process_id:
        pause(_POLL_SECONDS)
    remove_leftovers()
    with contextlib.suppress(OSError):  # the terminal is closed
        stderr.write(f"fedlab: {words}\n")
        stderr.flush()


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    watch(sys.stdin, sys.stderr, int(sys.argv[1]))
