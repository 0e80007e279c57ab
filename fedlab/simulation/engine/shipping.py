"""Prepared data on every machine of a cluster: sent once a machine, opened by all its actors, gone with the run."""

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedlab.common.cache_folder import locked, publish

_PIECE_BYTES = 2**26
_PATIENCE_SECONDS = 10.0  # with a machine that is to clean up


# The pieces of each file, by its name; a file of gigabytes is never in the memory of a process as a whole.
Shipped = Mapping[str, "Sequence[ray.ObjectRef[bytes]]"]


def ship(files: Mapping[str, Path]) -> Shipped:
    """Put files into the cluster's object store, which sends them to a machine the first time they are asked for."""
    return {name: [ray.put(piece) for piece in _pieces(path)] for name, path in files.items()}


def unpack(shipped: Shipped, base: Path, prefix: str) -> Path:
    """Write shipped files into a folder of this node's own, once, whichever actor comes first; return the folder.

    Where files are kept, as a prefix says, it is this machine's own, which the next cluster finds again.
    """
    folder = base / f"{prefix}node-{platform.node()}" if prefix else _folder(base)
    with locked(_lock(folder)):
        return publish(folder, lambda empty: _write(shipped, empty))


def states_folder(unpacked: Path, prefix: str = "") -> Path:
    """Return where the states that are computed from unpacked files are stored, beside those of other prefixes."""
    return unpacked.with_name(f"{unpacked.name.removeprefix(prefix)}-states")


def clear(base: Path) -> None:
    """Delete what was unpacked and stored without a prefix on every machine that is still there."""
    remove = ray.remote(num_cpus=0)(_remove)
    calls = [
        remove.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(base)
        for node in ray.nodes()
        if node["Alive"]
    ]
    ray.wait(calls, num_returns=len(calls), timeout=_PATIENCE_SECONDS)


def _remove(base: Path) -> None:
    folder = _folder(base)
    for each in (folder, states_folder(folder), _lock(folder)):
        shutil.rmtree(each, ignore_errors=True)
    with suppress(OSError):  # not empty: the driver's own machine, or a folder that is kept
        base.rmdir()
        base.parent.rmdir()


def _folder(base: Path) -> Path:
    return base / f"node-{ray.get_runtime_context().get_node_id()[:16]}"


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-lock")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _write(shipped: Shipped, folder: Path) -> None:
    for name, pieces in shipped.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in pieces:
                file.write(ray.get(piece))
