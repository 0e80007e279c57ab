"""Processes, as the system lists them: what a process has started, and what works in a folder."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def kill(pid: int) -> None:
    """End a process at once, unless it has ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, and those that they have."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _read(task).split()):
            yield child
            yield from descendants(child)


def arguments(pid: int) -> bytes:
    """Return the arguments of a process, each behind a zero byte; empty if it has ended."""
    return b"\0" + _read(Path(f"/proc/{pid}/cmdline"))


def working_in(folder: Path) -> list[int]:
    """Return the processes with a path below a folder in their arguments or environment."""
    mark, processes = os.fsencode(folder) + b"/", Path("/proc").glob("[0-9]*")
    found = [each for each in processes if mark in _read(each / "cmdline") + _read(each / "environ")]
    return [int(each.name) for each in found if int(each.name) != os.getpid()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or belongs to another user
        return b""
