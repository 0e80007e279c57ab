"""Checkpoint files: a tree of plain values, arrays and bytes, replaced so that a kill leaves the old or the new one."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from fedlab.common.short_text import raised
from fedlab.errors import DamagedError, UserError

# Raise it when a checkpoint of this version means something else to the next one. Trees of format 1 had no number.
FORMAT = 3
_ARRAYS = "arrays.safetensors"
_ARRAY, _BYTES = "__array__", "__bytes__"


def save_tree(folder: Path, tree: Mapping[str, Any]) -> None:
    """Write a tree in place of the last one, all or nothing."""
    arrays: dict[str, np.ndarray] = {}
    plain = _flatten(tree, "", arrays)
    fresh, current, old = (folder.with_name(folder.name + suffix) for suffix in (".new", "", ".old"))
    if old.exists() and not current.exists():  # a kill came between the renames below: the old tree is the good one
        os.replace(old, current)
    for stale in (fresh, old):
        shutil.rmtree(stale, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(arrays, fresh / _ARRAYS)
    digest = _digest(fresh / _ARRAYS, plain)
    (fresh / "tree.json").write_text(json.dumps({"format": FORMAT, "digest": digest, "tree": plain}))
    if current.exists():
        os.replace(current, old)
    os.replace(fresh, current)
    shutil.rmtree(old, ignore_errors=True)


def load_tree(folder: Path) -> dict[str, Any] | None:
    """Read the last tree written, None if there is none.

    Raises:
        UserError: the files are there but cannot be read, or another version of fedlab wrote them.
    """
    # Between the two renames of `save_tree` the last good tree is called .old.
    found = next((place for place in (folder, folder.with_name(folder.name + ".old")) if place.exists()), None)
    if found is None:
        return None
    try:
        arrays = load_file(found / _ARRAYS)
        content = json.loads((found / "tree.json").read_text())
        _check_format(content, found)
        _check_digest(content, found)
        tree: dict[str, Any] = _unflatten(content["tree"], arrays)
    except UserError:
        raise
    except Exception as error:  # safetensors raises its own types
        raise DamagedError(f"{found}: the checkpoint cannot be read: {raised(error)}") from error
    return tree


def _check_digest(content: Mapping[str, Any], place: Path) -> None:
    """Refuse arrays of another checkpoint, and whatever was changed since it was written."""
    if content.get("digest") != _digest(place / _ARRAYS, content["tree"]):
        raise DamagedError(f"{place}: the checkpoint has been changed since it was written; the run cannot be resumed")


def _digest(arrays: Path, plain: Any) -> str:
    """Return the SHA-256 of a file of arrays and of the tree that names them."""
    with arrays.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256")
    sha.update(json.dumps(plain, sort_keys=True).encode())
    return sha.hexdigest()


def _check_format(content: Any, place: Path) -> None:
    written = content.get("format", 1) if isinstance(content, dict) else 1
    if written != FORMAT:
        raise UserError(
            f"{place}: a checkpoint of format {written}, this version of fedlab reads format {FORMAT}: "
            "resume with the version that began the run, or start a new run"
        )


def plain_attributes(thing: object) -> dict[str, Any]:
    """Return the attributes of an object that a tree can hold; others stay as the object's constructor made them."""
    return {name: value for name, value in vars(thing).items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, bool | int | float | str | bytes | np.ndarray)


def _flatten(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray | np.generic | bytes):
        name = f"{len(arrays)}{path}"  # the number keeps apart what keys with slashes would not
        is_bytes = isinstance(value, bytes)
        arrays[name] = np.frombuffer(value, np.uint8) if is_bytes else np.asarray(value, order="C")
        return {_BYTES if is_bytes else _ARRAY: name}
    if isinstance(value, Mapping):
        return {key: _flatten(each, f"{path}/{key}", arrays) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_flatten(each, f"{path}/{at}", arrays) for at, each in enumerate(value)]
    return value


def _unflatten(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict) and _ARRAY in value:
        return arrays[value[_ARRAY]]
    if isinstance(value, dict) and _BYTES in value:
        return arrays[value[_BYTES]].tobytes()
    if isinstance(value, dict):
        return {key: _unflatten(each, arrays) for key, each in value.items()}
    if isinstance(value, list):
        return [_unflatten(each, arrays) for each in value]
    return value
