"""The software and the machine a run was made with."""

import contextlib
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from fedlab.common.machine import usable_cores

PACKAGES = ("fedlab-edge", "flwr", "ray", "torch", "transformers", "datasets", "numpy")
# Files that name the machine, and where in them.
NAMES_OF_MACHINE = (
    ("/proc/device-tree/model", r"^([^\0]+)"),  # of boards: "Raspberry Pi 4 Model B Rev 1.4"
    ("/proc/cpuinfo", r"^model name\s*: (.+)$"),
)


def describe_environment() -> dict[str, Any]:
    """Return versions, platform, number of usable cores and bytes of memory; None is what could not be found out.

    Versions come from the packages' metadata, so nothing is imported.
    """
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpus": usable_cores(),
        "memory_bytes": _memory_bytes(),
    }


def machine_name() -> str:
    """Return what the machine calls itself: the board's model, else the processor's, else its architecture."""
    for path, pattern in NAMES_OF_MACHINE:
        with contextlib.suppress(OSError):
            if found := re.search(pattern, Path(path).read_text(errors="replace"), re.MULTILINE):
                return found[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX system, or one that does not say
        return None
