"""Folders for temporary files, which end with their process, or with the next one if that was killed.

A lock says whether the owner of a folder lives; the system releases it when the process ends, however it ends. So what
a killed process left is told from what another process uses, whatever its age.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from fedlab.common.clock import pause
from fedlab.common.files import folder_size_bytes
from fedlab.errors import UserError

PREFIX = "fedlab-"
_TRIES, _TRY_SECONDS = 10, 0.1
_OWNER = ".owner"  # the file that the living owner has locked
_ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What killed processes left: folders, what these take, and processes that worked in them."""

    folders: tuple[Path, ...]
    size_bytes: int
    processes: tuple[int, ...]


@contextlib.contextmanager
def scratch_folder(kind: str = "", *, parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder for temporary files, by default in the system's folder for them; remove it in the end.

    Raises:
        UserError: it cannot be made.
    """
    folder, owner = _make(kind, parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        owner.close()


def lasting_scratch_folder(stack: Callable[..., object]) -> Path:
    """Return a new folder that is removed by a function given to `stack`, such as `atexit.register`."""
    held = scratch_folder()
    folder = held.__enter__()
    stack(held.__exit__, None, None, None)
    return folder


def temporary_folder() -> Path:
    """Return the system's folder for temporary files.

    Raises:
        UserError: none can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise UserError(f"no folder for temporary files can be written to: {error.strerror}; set TMPDIR") from error


def short_parent(longest: int) -> Path:
    """Return a folder for temporary files whose path has at most `longest` characters: the sockets in it have a limit.

    Raises:
        UserError: there is none that can be written to.
    """
    usual = Path(os.environ.get("RAY_TMPDIR") or temporary_folder())
    for parent in (usual, *map(Path, _ELSEWHERE)):
        if len(os.fsencode(parent)) <= longest and os.access(parent, os.W_OK | os.X_OK):
            return parent
    raise UserError(f"TMPDIR = {usual}: longer than {longest} characters, and {' and '.join(_ELSEWHERE)} are read-only")


def find_leftovers() -> Leftovers:
    """Return what killed processes of this user left in the folders for temporary files."""
    parents = {Path(each).resolve() for each in (temporary_folder(), os.environ.get("RAY_TMPDIR") or "/", *_ELSEWHERE)}
    folders = sorted(folder for parent in parents for folder in _abandoned(parent))
    size_bytes = sum(folder_size_bytes(folder) for folder in folders)
    return Leftovers(folders=tuple(folders), size_bytes=size_bytes, processes=tuple(sorted(_working_in(folders))))


def remove_leftovers() -> Leftovers:
    """End the processes and remove the folders that killed processes of this user left; return them."""
    found = find_leftovers()
    ended = end_processes_in(found.folders)
    for folder in found.folders:
        _remove(folder)
    return replace(found, processes=tuple(sorted(ended)))


def end_processes_in(folders: Iterable[Path]) -> set[int]:
    """Kill the other processes that work in the folders, and those that they started meanwhile; return them all."""
    ended: set[int] = set()
    while new := _working_in(folders) - ended:
        for process in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        ended |= new
    return ended


def _remove(folder: Path) -> None:
    """Remove a folder in which processes may still write until they have ended."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        pause(_TRY_SECONDS)


def _make(kind: str, parent: Path | None) -> tuple[Path, TextIO]:
    where = temporary_folder() if parent is None else parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}", dir=where))
        partial = folder / f"{_OWNER}.partial"
        owner = partial.open("w")
        fcntl.flock(owner, fcntl.LOCK_EX)
        partial.rename(folder / _OWNER)  # never there without its lock
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{where}: cannot make a folder for temporary files: {reason}; set TMPDIR") from error
    return folder, owner


def _abandoned(parent: Path) -> Iterator[Path]:
    """Yield the folders of this user whose owners have ended."""
    for folder in _children(parent):
        with contextlib.suppress(OSError):
            if folder.name.startswith(PREFIX) and folder.lstat().st_uid == os.geteuid() and _has_no_owner(folder):
                yield folder


def _children(parent: Path) -> list[Path]:
    try:
        return list(parent.iterdir())
    except OSError:
        return []


def _has_no_owner(folder: Path) -> bool:
    """Tell whether a folder has a lock that no process holds; raises OSError if it has none."""
    with (folder / _OWNER).open() as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _holds_open(process: Path, marks: Sequence[bytes]) -> bool:
    """Tell whether a process holds a file open whose path begins with one of the marks."""
    for link in _children(process / "fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.fsencode(os.readlink(link)).startswith(tuple(marks)):
                return True
    return False


def _working_in(folders: Iterable[Path]) -> set[int]:
    """Return the other processes of this user that work in one of the folders, and all that these started.

    A process works in a folder if its arguments or its environment have a path below it, or it holds a file there open.
    Ray's agents name themselves, which overwrites both on some systems, and they may outlive the processes that started
    them; but their logs stay open.
    """
    marks = [os.fsencode(folder) + b"/" for folder in folders]
    own, parents, found = str(os.getpid()), dict[int, int](), set[int]()
    for process in _children(Path("/proc")) if marks else []:
        with contextlib.suppress(OSError):  # it has ended
            if not process.name.isdecimal() or process.name == own or process.stat().st_uid != os.geteuid():
                continue
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if any(mark in said for mark in marks) or _holds_open(process, marks):
                found.add(int(process.name))
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found
