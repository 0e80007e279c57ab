"""What this machine has room for, and how its memory is handled."""

import ctypes
import os
import shutil
from pathlib import Path

MEMORY_SHARE = 4  # a quarter of the memory that can be had, as files mapped into memory
DISK_SHARE = 2  # and half of the disk that they lie on

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers of these parameters, in malloc.h
_MOST = 2**30


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the memory that processes can still have: what is free, and what only caches files."""
    try:
        lines = (line.split() for line in meminfo.read_text().splitlines())
        return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def activation_room_bytes(folder: Path, *, sharers: int = 1) -> int:
    """Return the room for stored activations in a folder, which need not exist, where `sharers` runs have their own."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    disk_bytes = shutil.disk_usage(existing).free // DISK_SHARE
    return min(available_memory_bytes() // MEMORY_SHARE, disk_bytes) // sharers


def keep_freed_memory() -> bool:
    """Have this process keep what it frees for what it allocates next; return whether the C library can (glibc can).

    A training step frees all it made. To give that back and be handed new pages for the next step takes longer than
    the arithmetic on small models does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _MOST) and mallopt(_MMAP_THRESHOLD, _MOST))
