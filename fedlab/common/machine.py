"""The cores, memory and disk that this process may use, and how it handles memory."""

import ctypes
import gc
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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


def usable_cores(*, cgroups: Path = Path("/sys/fs/cgroup"), own_cgroup: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many cores this process may use: its affinity, and at most the CPU time its cgroups allow.

    A container or a batch system may allow far fewer than the machine has. Part of a core counts as one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _cgroup_folders(cgroups, own_cgroup) if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas)]))


def _cgroup_folders(cgroups: Path, own_cgroup: Path) -> list[Path]:
    """Return the folders of this process's cgroup and of all above it, whose limits hold as well."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")  # version 2
    folder = cgroups / own
    return [cgroups / "cpu", *(each for each in (folder, *folder.parents) if each.is_relative_to(cgroups))]


def _quota(folder: Path) -> float | None:
    """Return the cores that a cgroup of version 2 or 1 may use, None if it says nothing or sets no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # of version 2, "max" stands for no limit
        return None


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


@contextmanager
def uncollected() -> Iterator[None]:
    """Do not look for garbage in the block: imports of large libraries take a quarter less, and leave none."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
