"""The memory and disk of this machine: how much is available, and how malloc keeps it."""

import ctypes
import os
import shutil
from pathlib import Path

MEMORY_SHARE = 4  # use a quarter of the available memory, as files mapped into memory,
DISK_SHARE = 2  # and half of the free disk that they are on

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers of these parameters, in malloc.h
_MOST = 2**30


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the memory that processes can still use: free memory and reclaimable file cache."""
    try:
        lines = (line.split() for line in meminfo.read_text().splitlines())
        return next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def activation_room_bytes(folder: Path, *, sharers: int = 1) -> int:
    """Return the bytes that one of `sharers` runs may use for stored activations in a folder, which need not exist."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    disk_bytes = shutil.disk_usage(existing).free // DISK_SHARE
    return min(available_memory_bytes() // MEMORY_SHARE, disk_bytes) // sharers


def keep_freed_memory() -> bool:
    """Make this process keep freed memory for its next allocations; return whether the C library can (glibc can).

    A training step frees everything it allocated. For small models, returning the pages to the system and getting new
    ones for the next step takes longer than the arithmetic.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _MOST) and mallopt(_MMAP_THRESHOLD, _MOST))
