"""Records of earlier versions, read as records of this one.

Earlier versions wrote the columns `depth` and `width` where `configuration` stands now, a `method` with its batches
where a client's `passes` stand, and named the levels of provenance `*_standing`. Fields that a version did not have yet
are left out: the data classes have defaults for them.
"""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any, Literal

RecordKind = Literal["rounds", "clients", "trials", "steps", "shifts"]
Line = dict[str, Any]

_SETS: Mapping[str, str] = {"adapter": "bottleneck", "freeze": "blocks", "full": "everything"}  # by a client's method
_AXES: Mapping[str, tuple[str, ...]] = {"bottleneck": ("depth", "width"), "blocks": ("depth",), "everything": ()}
_RENAMED: Mapping[str, str] = {
    "latency_standing": "latency_provenance",
    "energy_standing": "energy_provenance",
    "memory_standing": "memory_provenance",
}
_WORK = ("method", "batch_size", "sequence_length")  # of a client, with its depth and width
_REPLACED = ("depth", "width", *_WORK)


def trained_set(clients: Iterable[Line]) -> str:
    """Return the set that an earlier version's run trained, by its first client that says so; else bottleneck.

    Records of rounds and groups had a depth and a width only. Reading ends at the first record of this version.
    """
    found = (_SETS.get(str(line.get("method"))) for line in takewhile(_is_old, clients))
    return next((name for name in found if name is not None), "bottleneck")


def upgraded(kind: RecordKind, line: Line, trained: str) -> Line:
    """Return a line of a file of records with the fields of this version, whose lines are returned unchanged.

    `trained` is what `trained_set` says of the run. Raises `KeyError` or `TypeError` if the line is no record.
    """
    if kind in ("steps", "shifts"):  # earlier versions had none
        return line
    if kind == "clients":
        return _sent(line, trained) | _old_work(line)
    if kind == "rounds":
        return _decided(line, trained) | {"groups": [_sent(group, trained) for group in line["groups"]]}
    return _decided(line, trained) | {"candidates": [_decided(each, trained) for each in line["candidates"]]}


def _is_old(line: Line) -> bool:
    return "depth" in line


def _old_work(line: Line) -> Line:
    """Return what an earlier version wrote of a client's work, where it knew it, as one field."""
    work = {key: line[key] for key in (*_WORK, "depth", "width") if key in line}
    return {"old_work": work} if line.get("method") else {}


def _decided(line: Line, trained: str) -> Line:
    """Upgrade the record of a round, a trial or a candidate: the configuration is what the server had decided on."""
    return _configured(line, trained, _AXES[trained]) if _is_old(line) else line


def _sent(line: Line, trained: str) -> Line:
    """Upgrade the record of a client or a group."""
    return _configured(line, trained, _known_axes(line, trained)) if _is_old(line) else line


def _known_axes(line: Line, trained: str) -> tuple[str, ...]:
    """Return the axes that an earlier version knew of what a client was sent.

    It wrote a width of 1 where no adapters were trained, and a depth of 0 where it did not know what a client had done
    (`method` is empty, and there is an error).
    """
    if line.get("method") == "" and line.get("error") is not None:
        return ()
    trains_adapters = line["depth"] > 0 and line["group"] != "prefill"
    return tuple(axis for axis in _AXES[trained] if trains_adapters or axis != "width")


def _configured(line: Line, trained: str, axes: Iterable[str]) -> Line:
    kept = {_RENAMED.get(name, name): value for name, value in line.items() if name not in _REPLACED}
    return kept | {"configuration": {"set": trained, **{axis: line[axis] for axis in axes}}}
