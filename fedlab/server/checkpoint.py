"""Checkpoint files: a tree of values (see `tree_values`), replaced so that a kill leaves the old or the new one."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from fedlab.common.durable import sync_folder, sync_tree
from fedlab.common.short_text import raised
from fedlab.errors import DamagedError, UserError
from fedlab.server.tree_values import ACCEPTED, UnkeptError, packed, unpacked

# Raise it when a checkpoint of this version means something else to the next one. Trees of format 1 had no number.
FORMAT = 3
_ARRAYS = "arrays.safetensors"


def save_tree(folder: Path, tree: Mapping[str, Any]) -> None:
    """Write a tree in place of the last one, all or nothing; it is on the disk when this returns.

    At any moment a kill or a power failure leaves a whole tree, under its name or the one with .old.

    Raises:
        UserError: it holds a value that cannot be written (`fedlab.server.tree_values`).
    """
    arrays: dict[str, np.ndarray] = {}
    plain = _plain(tree, arrays)
    fresh, current, old = (folder.with_name(folder.name + suffix) for suffix in (".new", "", ".old"))
    if old.exists() and not current.exists():  # a kill came between the renames below: the old tree is the good one
        os.replace(old, current)
    for stale in (fresh, old):
        shutil.rmtree(stale, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(arrays, fresh / _ARRAYS)
    digest = _digest(fresh / _ARRAYS, plain)
    (fresh / "tree.json").write_text(json.dumps({"format": FORMAT, "digest": digest, "tree": plain}))
    sync_tree(fresh)
    if current.exists():
        os.replace(current, old)
    os.replace(fresh, current)
    sync_folder(folder.parent)
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
        tree: dict[str, Any] = unpacked(content["tree"], arrays)
    except UserError:
        raise
    except Exception as error:  # safetensors raises its own types
        raise DamagedError(f"{found}: the checkpoint cannot be read: {raised(error)}") from error
    return tree


def _plain(tree: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    try:
        return packed(tree, "", arrays)
    except UnkeptError as error:
        raise UserError(f"the run cannot be kept in a checkpoint: {error}; accepted: {ACCEPTED}") from error


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
