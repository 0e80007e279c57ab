"""What a run and a session must have in common: the code, the Python, and what both read from the environment."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping

from fedlab.common.machine import usable_cores
from fedlab.simulation.engine.own_ray import ROOT

_PACKAGES = ("fedlab", "strategies", "clients")
# Of variables that are read when a library is imported; all others an actor gets from the run.
_READ_AT_IMPORT = (
    "ATEN_", "CUDA_", "DNNL_", "FEDLAB_", "GOMP_", "HF_", "KMP_", "LD_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_",
    "OPENBLAS_", "PYTHON", "PYTORCH_", "RAY_", "TOKENIZERS_", "TORCH", "TRANSFORMERS_",
)  # fmt: skip
# A run that joins a session takes the first from its record; Ray itself sets the others when it is imported or joined.
_OF_THE_PROCESS = ("RAY_AUTH_", "RAY_CLIENT_MODE", "PYTHONBREAKPOINT")


def identity() -> dict[str, str]:
    """Return what identifies this process's code and environment, by name; values of variables only as digests."""
    return {
        "Python": f"{sys.executable} {sys.version}",
        "the code of fedlab": _digest(_code()),
        "the installed packages": _digest(_installed()),
        "the number of cores": str(usable_cores()),
    } | {name: _digest([value]) for name, value in os.environ.items() if _is_read_at_import(name)}


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the names of what differs, in order."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _is_read_at_import(name: str) -> bool:
    return name.startswith(_READ_AT_IMPORT) and not name.startswith(_OF_THE_PROCESS)


def _code() -> Iterable[str]:
    for path in sorted(path for package in _PACKAGES for path in (ROOT / package).rglob("*.py")):
        found = path.stat()
        yield f"{path} {found.st_mtime_ns} {found.st_size}"


def _installed() -> Iterable[str]:
    """Yield the folders of the installed packages, whose names have their versions."""
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        yield from sorted(name for name in os.listdir(place) if name.endswith(".dist-info"))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()[:16]
