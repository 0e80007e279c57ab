"""Prepared data on every machine of a cluster: sent once a machine, opened by all its actors."""

from collections.abc import Mapping
from pathlib import Path

import ray

from fedlab.data.cache import publish


def ship(files: Mapping[str, Path]) -> "ray.ObjectRef[dict[str, bytes]]":
    """Put files into the cluster's object store, which sends them to a machine the first time they are asked for."""
    return ray.put({name: path.read_bytes() for name, path in files.items()})


def unpack(shipped: "ray.ObjectRef[dict[str, bytes]]", base: Path) -> Path:
    """Write shipped files below a folder of this node's own, once, whichever actor comes first; return the folder."""
    folder = base / f"node-{ray.get_runtime_context().get_node_id()[:16]}"
    if not folder.exists():
        publish(folder, lambda empty: _write(ray.get(shipped), empty))
    return folder


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
