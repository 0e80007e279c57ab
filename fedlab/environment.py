"""The software and the machine a run was made with."""

import os
import platform
from importlib import metadata
from typing import Any

PACKAGES = ("fedlab-edge", "flwr", "ray", "torch", "transformers", "adapters", "datasets", "numpy")


def describe_environment() -> dict[str, Any]:
    """Return versions, platform, number of processors and bytes of memory; None is what could not be found out.

    Versions come from the packages' metadata, so nothing is imported.
    """
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
    }


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
