"""The rounds of a run of FwdLLM: how many perturbations a client evaluates in a step, up to which round."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fedlab.errors import UserError
from fedlab.estimate.spec import FwdllmMethod
from fedlab.estimate.trajectory import rows_of

COLUMNS = ("round", "perturbations")
_MOST_PERTURBATIONS = 1e9


class RoundsSegment(NamedTuple):
    """The rounds from `first_round` to `last_round`; `perturbations` of one client a step, in the mean of the steps."""

    first_round: int
    last_round: int
    perturbations: float

    @property
    def rounds(self) -> int:
        """Return how many rounds it has."""
        return self.last_round - self.first_round + 1


def read_rounds(path: Path, method: FwdllmMethod) -> list[RoundsSegment]:
    """Read a CSV file of the columns `round,perturbations`; `round` is the last one of a segment.

    The number of perturbations can be a fraction, for pacing repeats some steps. A method that is not `forward` makes
    one pass over a batch and has none: its column is 0 or 1, and either counts as one pass.

    Raises:
        UserError: the file cannot be read or is not such a table; the message names its line.
    """
    return list(_segments(path, method))


def _segments(path: Path, method: FwdllmMethod) -> Iterator[RoundsSegment]:
    before = 0
    for row in rows_of(path, COLUMNS):
        last_round = row.whole("round")
        row.check_rises(last_round, before)
        yield RoundsSegment(before + 1, last_round, _perturbations(row.values["perturbations"], row.place, method))
        before = last_round


def _perturbations(text: str, place: str, method: FwdllmMethod) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if method != "forward":
        if value not in (0, 1):
            raise UserError(f"{place}: perturbations is {text!r}, but {method} has none: expected 0 or 1")
        return 1
    if not 0 < value <= _MOST_PERTURBATIONS:
        raise UserError(
            f"{place}: perturbations is {text!r}, expected a number above 0, at most {_MOST_PERTURBATIONS:.0e}"
        )
    return value
