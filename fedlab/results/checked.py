"""Checks of what a run folder says, before anything is computed from it: the types of records and summaries."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from fedlab.common.plain_types import PlainType, plain_type
from fedlab.common.short_text import short

_LARGEST = 1e30  # of a number in a record; sums over any run are still finite
_MAY_BE_ANYTHING = ("train_loss",)  # that of a client that diverged is infinite or not a number


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The types of a summary's values; those without a default stand in the summaries of every version."""

    status: str
    accuracy: float | None
    validation_accuracy: float | None
    rounds: int
    simulated_seconds: float
    wall_seconds: float
    bytes_down: float
    bytes_up: float
    joules: float
    configuration: dict[str, int | str] | None
    trials: int
    upgrades: int
    client_failures: int
    name: str = ""
    seed: int = 0
    scored_by: str = "accuracy"
    measures: dict[str, dict[str, float]] | None = None
    start: dict[str, dict[str, float]] | None = None
    shifts: dict[str, float] | None = None
    idle_joules: float = 0.0
    peak_memory_bytes: float = 0.0
    late: int = 0
    failed_rounds: int = 0
    dropouts: dict[str, int] | None = None
    provenance: dict[str, int] | None = None
    energy_provenance: dict[str, int] | None = None
    memory_provenance: dict[str, int] | None = None
    run_dir: str = ""
    repriced_from: str | None = None
    arrays_digest: str | None = None
    records_digest: str | None = None


def check_fields(kind: type, line: Mapping[str, Any]) -> None:
    """Raise a TypeError that names the first field of a record whose value is not of the field's type."""
    for name, accepted in _fields(kind).items():
        if name in line and not (accepted.accepts(line[name]) and (name in _MAY_BE_ANYTHING or _finite(line[name]))):
            raise TypeError(f"{name} is {short(line[name])}, expected {accepted.words}")


def missing_from(summary: Mapping[str, Any]) -> str | None:
    """Return a value that the summaries of every version have and this one lacks; None if it lacks none."""
    return next((name for name in _fields(Summary) if not hasattr(Summary, name) and name not in summary), None)


@cache
def _fields(kind: type) -> Mapping[str, PlainType]:
    """Return the types of a data class's fields, as far as they are plain."""
    hints = get_type_hints(kind, localns={"ProvenanceLevel": str})
    known = {name: plain_type(hint) for name, hint in hints.items()}
    return {name: each for name, each in known.items() if each is not None}


def _finite(value: object) -> bool:
    """Tell whether a number, and all numbers within a table or list, can be worked with."""
    if isinstance(value, dict | list):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or abs(value) <= _LARGEST
