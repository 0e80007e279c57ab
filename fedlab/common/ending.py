"""How a long command ends that is stopped from outside: by a signal, a full disk, or the loss of its process.

Whatever happens, no process is left, and the last line says how to go on.
"""

import errno
import os
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from fedlab.common.watcher import Watcher
from fedlab.errors import InterruptedRunError, RunFailedError, UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM)
_PATIENCE = 3  # the signal that ends the process at once, without cleaning up
_NO_ROOM = "No space left on device"  # in the errors of libraries that have a kind of their own


class ResumableCommand:
    """Surrounds the work of a command; `resumed_by` is set to the command that resumes it, when there is one.

    SIGTERM and a closed terminal interrupt the work as Ctrl-C does. Further signals do not disturb the cleaning up
    that the first one began.

    Raises:
        InterruptedRunError: a signal came.
        RunFailedError: a disk is full or read-only.
    """

    def __init__(self) -> None:
        self._resumed_by: str | None = None
        self._folder: Path | None = None
        self._came: list[signal.Signals] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals, and start the watcher."""
        self._take_signals()
        self._watcher = Watcher(f"{_KILLED}; nothing has been written yet")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back, and say in one line what stopped the work."""
        self._watcher.__exit__()
        for each, handler in self._before.items():
            signal.signal(each, handler)
        if isinstance(error, InterruptedRunError):  # it says more than is known here
            return
        if self._came and error is not None:
            raise InterruptedRunError(f"{_words_of(self._came[0])}{self._way_on()}") from error
        if error is not None and (reason := disk_trouble(error, self._folder)):
            raise RunFailedError(f"{reason}{self._way_on()}") from error

    def _take_signals(self) -> None:
        """Take over the signals; those that are ignored, as under nohup, stay ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for each in _SIGNALS:
            handler = signal.getsignal(each)
            if handler is not signal.SIG_IGN:
                self._before[each] = handler
                signal.signal(each, self._on_signal)

    def resumed_by(self, command: str, folder: Path | None = None) -> None:
        """Note the command that resumes the work from now on, and the folder that it writes to."""
        self._resumed_by, self._folder = command, folder
        self._watcher.last_words(f"{_KILLED}{self._way_on()}")

    def _way_on(self) -> str:
        return f"; resume with: {self._resumed_by}" if self._resumed_by else ""

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._came.append(signal.Signals(number))
        if len(self._came) == 1:
            raise KeyboardInterrupt
        if len(self._came) >= _PATIENCE:
            os.kill(os.getpid(), signal.SIGKILL)  # the watcher cleans up


_KILLED = "killed, or ended by the loss of a process of Ray"


def disk_trouble(error: BaseException, folder: Path | None) -> str | None:
    """Return which path, by default which folder, has which trouble; None if the error is of another kind."""
    reason, path = None, folder
    if isinstance(error, OSError) and error.errno in _OF_DISKS:
        reason, path = error.strerror, error.filename or folder
    elif not isinstance(error, UserError | RunFailedError) and _NO_ROOM in str(error):
        reason = _NO_ROOM
    return reason and (reason if path is None else f"{path}: {reason}")


def _words_of(number: signal.Signals) -> str:
    words = {signal.SIGTERM: "interrupted by SIGTERM", signal.SIGHUP: "interrupted: the terminal was closed"}
    return words.get(number, "interrupted")
