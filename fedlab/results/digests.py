"""Digests of what a run computed: whether a run is as it was left, and whether two runs are the same."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedlab.errors import RunFailedError
from fedlab.results.folder import RunFolder
from fedlab.results.records import ClientRecord, RoundRecord, TrialRecord

_WALL_CLOCK = "wall_seconds"
_READERS: dict[str, Callable[[RunFolder], list[Any]]] = {
    "rounds.jsonl": RunFolder.rounds,
    "clients.jsonl": RunFolder.clients,
    "trials.jsonl": RunFolder.trials,
}


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays: of each name, dtype, shape and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        sha.update(f"{json.dumps(name)} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())  # in C order, whatever the layout
    return sha.hexdigest()


def digest_records(folder: RunFolder) -> str:
    """Return the SHA-256 of a run's rounds, clients and trials, wall-clock times left out; raises `UserError`."""
    sha = hashlib.sha256()
    for name, read in _READERS.items():
        sha.update(f"{name}\n".encode())
        for record in read(folder):
            sha.update(f"{json.dumps(_timeless(record), sort_keys=True)}\n".encode())
    return sha.hexdigest()


def verify_run(folder: RunFolder) -> None:
    """Check that a run's records and final arrays are those its summary was made from.

    Raises `RunFailedError` naming what differs, or saying that the run has no summary or no final arrays,
    and `UserError` where a file of records cannot be read.
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


def compare_runs(a: RunFolder, b: RunFolder) -> list[str]:
    """Return how two runs differ, one line a file with the first difference in it; empty if they are the same.

    Raises `RunFailedError` where final arrays are missing, `UserError` where records cannot be read.
    """
    differences = [_first_record(name, read(a), read(b)) for name, read in _READERS.items()]
    differences.append(_first_array(a.final.name, _arrays(a.final), _arrays(b.final)))
    return [difference for difference in differences if difference]


def _first_record(file: str, first: list[Any], second: list[Any]) -> str | None:
    for number, (left, right) in enumerate(zip_longest(first, second), start=1):
        if left is None or right is None:
            return f"{file}: {len(first)} records against {len(second)}; the first {number - 1} are the same"
        if differing := next(_differing(_timeless(left), _timeless(right)), None):
            return f"{file}, line {number} ({_name(left)}): {differing}"
    return None


def _differing(left: Any, right: Any, place: str = "") -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left:
            yield from _differing(left[key], right[key], f"{place}.{key}" if place else key)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from _differing(*pair, f"{place}[{index}]")
    elif json.dumps(left) != json.dumps(right):  # as text, so that a loss that is not a number equals itself
        yield f"{place} is {json.dumps(left)} against {json.dumps(right)}"


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


def _name(record: ClientRecord | RoundRecord | TrialRecord) -> str:
    if isinstance(record, ClientRecord):
        return f"round {record.server_round}, client {record.partition_id}"
    return f"round {record.server_round}" if isinstance(record, RoundRecord) else f"trial {record.trial}"


def _timeless(record: ClientRecord | RoundRecord | TrialRecord) -> dict[str, Any]:
    return {key: value for key, value in asdict(record).items() if key != _WALL_CLOCK}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunFailedError(f"{path}: cannot be read as arrays: {error}") from error
    return arrays
