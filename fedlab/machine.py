"""What this machine has room for."""

import os
import shutil
from pathlib import Path

MEMORY_SHARE = 4  # a quarter of the memory that can be had, as files mapped into memory
DISK_SHARE = 2  # and half of the disk that they lie on


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
