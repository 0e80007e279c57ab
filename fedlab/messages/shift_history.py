"""What a client that trains in integers says of the shifts of its tensors: which they were, and when they changed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

_COUNTS = ("found", "reused", "saturated")
_LONGEST = 200  # characters of a tensor's name


@dataclass(frozen=True, kw_only=True)
class TensorShifts:
    """The shifts of one tensor over the steps of a client's part.

    The tensor is named for its layer's place, such as `3.activation` or `3.error`. `found` counts the steps that found
    its shift, `reused` those that reused it, and `saturated` the numbers that were clipped in these. `changes` are
    pairs of a step, counted from 0, and the shift from then on; the first one is the first shift.
    """

    tensor: str
    found: int
    reused: int
    saturated: int
    changes: list[list[int]]


def shifts_to_text(shifts: Sequence[TensorShifts]) -> str:
    """Return shifts as JSON, one list a tensor."""
    rows = [[each.tensor, each.found, each.reused, each.saturated, each.changes] for each in shifts]
    return json.dumps(rows, separators=(",", ":"))


def shifts_from_text(text: object) -> tuple[TensorShifts, ...]:
    """Read what `shifts_to_text` gave; nothing where it is something else, for clients can err."""
    try:
        rows = json.loads(text) if isinstance(text, str) else []
        return tuple(_row(*each) for each in rows)
    except (ValueError, TypeError, RecursionError):
        return ()


def _row(tensor: object, found: object, reused: object, saturated: object, changes: object) -> TensorShifts:
    counts = dict(zip(_COUNTS, (found, reused, saturated), strict=True))
    pairs = isinstance(changes, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in changes)
    whole = [*counts.values(), *(number for pair in changes for number in pair)] if pairs else [None]  # type: ignore[attr-defined]
    if not isinstance(tensor, str) or len(tensor) > _LONGEST or not all(type(number) is int for number in whole):
        raise TypeError("not the shifts of a tensor")
    return TensorShifts(tensor=tensor, changes=changes, **counts)  # type: ignore[arg-type]
