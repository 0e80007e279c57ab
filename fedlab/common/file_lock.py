"""Locks on open files: they exclude other processes, and end with the process that holds them, however it ends."""

import fcntl
import os
from pathlib import Path
from typing import IO

_LOCKS = Path("/proc/locks")


def try_lock(file: IO[bytes] | IO[str]) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it.

    A file system without locks lets every process through.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def holder_of(file: IO[bytes] | IO[str]) -> int | None:
    """Return the id of the process that has locked a file, None if that cannot be told."""
    inode = f":{os.fstat(file.fileno()).st_ino}"
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    # Such as `1: FLOCK  ADVISORY  WRITE 4242 08:01:131 0 EOF`; 0 is a process of another container.
    fields = [line.split() for line in lines if " FLOCK " in line and " -> " not in line]
    return next((int(each[4]) or None for each in fields if len(each) > 5 and each[5].endswith(inode)), None)
