"""The record of a session, by which runs find it: one a user and machine, locked as long as the session lives."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from fedlab.common.file_lock import try_lock
from fedlab.common.prepared_cache import cache_folder


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """A session that runs: its process, the address of its Ray, and what a run needs to join it.

    `identity` is what a run must have in common with it; `joining` holds variables of the environment.
    """

    process_id: int
    address: str
    cores: int
    identity: Mapping[str, str]
    joining: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What there is of a session: `alive` tells whether its process is; a session that still starts has no record."""

    alive: bool
    record: SessionRecord | None


def record_path() -> Path:
    """Return where the record of this user's session on this machine is."""
    return cache_folder() / f"session-{platform.node()}-{os.geteuid()}.json"


def find() -> Found | None:
    """Return what there is of a session, None if nothing."""
    try:
        with record_path().open() as file:
            alive, text = not try_lock(file), file.read()
    except OSError:
        return None
    return Found(alive=alive, record=SessionRecord(**json.loads(text)) if text else None)


def forget() -> None:
    """Remove the record of a session that has ended."""
    record_path().unlink(missing_ok=True)


@contextmanager
def claimed() -> Iterator[IO[str] | None]:
    """Hold the place of the record, as long as the session lives; yield None if another session holds it.

    The record is only for its user: it may have the token of the session's Ray.
    """
    path = record_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        if not try_lock(file):
            yield None
            return
        file.truncate(0)
        try:
            yield file
        finally:
            forget()


def write(file: IO[str], record: SessionRecord) -> None:
    """Write the record to its place."""
    file.write(json.dumps(asdict(record)))
    file.flush()
