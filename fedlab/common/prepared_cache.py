"""The cache of prepared data: where it is, what it holds, and how it is pruned.

A bundle refers to the tokens and the encoder that it is made of; several bundles may refer to the same.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from fedlab.common.clock import age_seconds
from fedlab.common.files import folder_size_bytes
from fedlab.errors import UserError

_BUNDLES = "bundles"
_PARTS = ("tasks", "tokens", "encoders")
_DAY_SECONDS = 86400.0
_held: list[TextIO] = []  # the lock of this process, as long as it lives


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """A folder of the cache: a bundle, or a part of bundles."""

    kind: str
    path: Path
    size_bytes: int
    unused_days: float | None  # None: a part, which is used as long as its bundles are


def cache_folder() -> Path:
    """Return where prepared data is kept: `$FEDLAB_CACHE`, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fedlab"
    return Path(os.environ.get("FEDLAB_CACHE", default))


def use_cache(folder: Path) -> None:
    """Keep the cache from being pruned as long as this process lives."""
    with contextlib.suppress(OSError):  # the cache is read-only, so it cannot be pruned
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        _held[:] = [lock]


def cache_entries(folder: Path) -> list[CacheEntry]:
    """Return what a cache holds, by kind and by size."""
    found = [
        CacheEntry(kind=kind, path=path, size_bytes=folder_size_bytes(path), unused_days=_unused_days(kind, path))
        for kind in (_BUNDLES, *_PARTS)
        for path in _folders(folder / kind)
    ]
    return sorted(found, key=lambda each: (each.kind, -each.size_bytes, each.path))


def prune_cache(folder: Path, *, unused_days: float) -> list[CacheEntry]:
    """Remove the bundles that were not used for `unused_days`, and the parts that no other bundle needs; return them.

    Raises:
        UserError: a run is using the cache.
    """
    if not folder.is_dir():
        return []
    with _exclusive(folder):
        entries = cache_entries(folder)
        kept = {each.path for each in entries if each.unused_days is not None and each.unused_days < unused_days}
        needed = {part for bundle in kept for part in _parts_of(folder, bundle)}
        removed = [each for each in entries if each.path not in kept | needed]
        for each in removed:
            shutil.rmtree(each.path, ignore_errors=True)
    return removed


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise UserError(f"{folder}: a run is using the cache; prune it when the run has ended") from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be pruned: {error.strerror}") from error


def _parts_of(folder: Path, bundle: Path) -> Iterator[Path]:
    """Yield the encoder and the tokens of a bundle; tasks are cheap to make again."""
    with contextlib.suppress(OSError, ValueError, LookupError):  # it is damaged, and is made again
        yield Path(json.loads((bundle / "about.json").read_text())["encoder"]).parent
        for digest in json.loads((bundle / "task.json").read_text())["tokens"].values():
            yield folder / "tokens" / digest


def _folders(parent: Path) -> list[Path]:
    """Return all folders, those included that a killed process left half-written."""
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _unused_days(kind: str, path: Path) -> float | None:
    """Return the age of a bundle's last use; a half-written one has no use at all."""
    if kind != _BUNDLES:
        return None
    return float("inf") if path.name.startswith(".") else age_seconds(path) / _DAY_SECONDS
