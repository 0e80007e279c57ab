"""Digests of what a run computed: whether a run is unchanged since it ended, and whether two runs are the same.

A run's digest is of its lines as they were written, so that a run of an earlier version still is what its summary says.
Two runs are compared with the fields of this version, and by those that both record.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlab.errors import RunFailedError
from fedlab.results.folder import RunFolder
from fedlab.results.old_records import Line, RecordKind

_WALL_CLOCK = "wall_seconds"
_KINDS: tuple[RecordKind, ...] = ("rounds", "clients", "trials", "steps", "shifts")


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays: of each name, dtype, shape and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        sha.update(f"{json.dumps(name)} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())  # in C order, whatever the layout
    return sha.hexdigest()


def digest_records(folder: RunFolder) -> str:
    """Return the SHA-256 of a run's records, wall-clock times left out; raises `UserError`.

    Those of steps and shifts count where there are any, so that runs of earlier versions keep their digests.
    """
    sha = hashlib.sha256()
    for kind in _KINDS:
        lines = folder.written_lines(kind)
        if kind in ("steps", "shifts") and not lines:
            continue
        sha.update(f"{folder.records_file(kind).name}\n".encode())
        for line in lines:
            sha.update(f"{json.dumps(_timeless(line), sort_keys=True)}\n".encode())
    return sha.hexdigest()


def verify_run(folder: RunFolder) -> None:
    """Check that a run's records and final arrays are those its summary was made from, and that no round is missing.

    Raises `RunFailedError` with what differs or is missing, a summary or final arrays among it, and `UserError` if a
    file of records cannot be read.
    """
    summary = folder.summary()
    if summary is None:
        raise RunFailedError(f"{folder.path}: the run has not ended (no {folder.summary_file.name})")
    for key, what, found in (
        ("records_digest", "records", digest_records(folder)),
        ("arrays_digest", folder.final.name, digest_arrays(_arrays(folder.final))),
    ):
        if summary.get(key) != found:
            raise RunFailedError(f"{folder.path}: {what} are not what the run wrote: {key} is {found}")
    best = summary.get("best_arrays_digest")  # earlier versions kept no best model
    if best is not None and best != digest_arrays(_arrays(folder.best)):
        raise RunFailedError(f"{folder.path}: {folder.best.name} is not what the run wrote")
    for number, record in enumerate(folder.rounds(), start=1):
        if record.server_round != number:
            raise RunFailedError(
                f"{folder.rounds_file}, line {number}: is of round {record.server_round}, expected round {number}"
            )


def compare_runs(a: RunFolder, b: RunFolder) -> list[str]:
    """Return how two runs differ, one line a file with the first difference in it; empty if they are the same.

    Fields that only one of them records, as one of another version does, are not compared; see `unshared_fields`.
    Raises `RunFailedError` where final arrays are missing, `UserError` where records cannot be read.
    """
    differences = [_first_record(a.records_file(kind).name, *_both(kind, a, b)) for kind in _KINDS]
    differences.append(_first_array(a.final.name, _arrays(a.final), _arrays(b.final)))
    return [difference for difference in differences if difference]


def unshared_fields(a: RunFolder, b: RunFolder) -> list[str]:
    """Return the fields that only one of two runs records, such as `clients.jsonl: configuration.width`."""
    return [
        f"{a.records_file(kind).name}: {field}"
        for kind in _KINDS
        for field in sorted({each for pair in zip(*_both(kind, a, b), strict=False) for each in _unshared(*pair)})
    ]


def _both(kind: RecordKind, a: RunFolder, b: RunFolder) -> tuple[list[Line], list[Line]]:
    return a.upgraded_lines(kind), b.upgraded_lines(kind)


def _first_record(file: str, first: list[Line], second: list[Line]) -> str | None:
    for number, (left, right) in enumerate(zip_longest(first, second), start=1):
        if left is None or right is None:
            return f"{file}: {len(first)} records against {len(second)}; the first {number - 1} are the same"
        if differing := next(_differing(_timeless(left), _timeless(right)), None):
            return f"{file}, line {number} ({_name(left)}): {differing}"
    return None


def _differing(left: Any, right: Any, place: str = "") -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in (each for each in left if each in right):  # in the order of the fields
            yield from _differing(left[key], right[key], _within(place, key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from _differing(*pair, f"{place}[{index}]")
    elif json.dumps(left) != json.dumps(right):  # as text, so that a loss that is not a number equals itself
        yield f"{place} is {json.dumps(left)} against {json.dumps(right)}"


def _unshared(left: Any, right: Any, place: str = "") -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        yield from (_within(place, key) for key in left.keys() ^ right.keys())
        for key in left.keys() & right.keys():
            yield from _unshared(left[key], right[key], _within(place, key))
    elif isinstance(left, list) and isinstance(right, list):
        for pair in zip(left, right, strict=False):
            yield from _unshared(*pair, place)


def _within(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _first_array(file: str, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> str | None:
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            return f"{file}: {name} is in one run only"
        left, right = first[name], second[name]
        if left.shape != right.shape or left.dtype != right.dtype:
            return f"{file}: {name} is {left.dtype}{list(left.shape)} against {right.dtype}{list(right.shape)}"
        if left.tobytes() != right.tobytes():
            return f"{file}: {name} differs by up to {np.max(np.abs(left.astype(float) - right.astype(float))):.3g}"
    return None


def _name(line: Line) -> str:
    if "partition_id" in line:
        return f"round {line['server_round']}, client {line['partition_id']}"
    if "verdict" in line:
        return f"round {line['server_round']}, step {line['step']}"
    return f"trial {line['trial']}" if "candidates" in line else f"round {line['server_round']}"


def _timeless(line: Line) -> Line:
    return {key: value for key, value in line.items() if key != _WALL_CLOCK}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunFailedError(f"{path}: cannot be read as arrays: {error}") from error
    return arrays
