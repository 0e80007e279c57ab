"""Trajectories: which configuration was trained up to and including which round."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fedlab.common.files import check_regular
from fedlab.errors import UserError

COLUMNS = ("round", "depth", "width")
_WIDEST = 65536
_WHOLE = re.compile(r"[0-9]{1,12}(\.0*)?")  # spreadsheets write whole numbers as 80.0 if a cell of the column is empty


class Segment(NamedTuple):
    """A stretch of a trajectory: up to and including `last_round`, this configuration was trained."""

    last_round: int
    depth: int
    width: int


class Stretch(NamedTuple):
    """A segment with its first round, counted from 1."""

    first_round: int
    segment: Segment

    @property
    def rounds(self) -> int:
        """Return how many rounds it has."""
        return self.segment.last_round - self.first_round + 1


def stretches(segments: Sequence[Segment]) -> list[Stretch]:
    """Return the segments with their first rounds.

    Raises:
        UserError: there are none, or their last rounds do not rise from 1 up.
    """
    found, last_round = [], 0
    for segment in segments:
        if segment.last_round <= last_round:
            raise UserError(_fall(segment.last_round, last_round))
        found.append(Stretch(last_round + 1, segment))
        last_round = segment.last_round
    if not found:
        raise UserError("a trajectory without rounds, expected at least one")
    return found


def read_trajectory(path: Path) -> list[Segment]:
    """Read a CSV file of the columns `round,depth,width`; `round` is the last one of a configuration.

    A rank of LoRA stands in the column `width`, which may be called `rank`.

    A byte order mark, blank lines and blanks around values do not matter, nor does the order of the columns.

    Raises:
        UserError: the file cannot be read or is none of these; a message names its line.
    """
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            return list(_segments(((rows.line_num, row) for row in rows), str(path)))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a CSV file: {error}") from error


def _segments(lines: Iterable[tuple[int, list[str]]], place: str) -> Iterator[Segment]:
    header: list[str] | None = None
    last_round = 0
    for number, row in lines:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if header is None:
            header = _header(["width" if cell.lower() == "rank" else cell.lower() for cell in cells], place)
            continue
        segment = _segment(header, cells, f"{place}, line {number}")
        if segment.last_round <= last_round:
            raise UserError(f"{place}, line {number}: {_fall(segment.last_round, last_round)}")
        last_round = segment.last_round
        yield segment
    if not last_round:
        raise UserError(
            f"{place}: no rounds in it, expected the columns {','.join(COLUMNS)} and at least one line below"
        )


def _header(cells: list[str], place: str) -> list[str]:
    if sorted(cells) != sorted(COLUMNS):
        raise UserError(f"{place}: the columns are {','.join(cells)}, expected {','.join(COLUMNS)}")
    return cells


def _segment(header: list[str], cells: list[str], place: str) -> Segment:
    if len(cells) != len(header):
        raise UserError(f"{place}: {len(cells)} values, expected {len(header)}: {','.join(header)}")
    values = dict(zip(header, cells, strict=True))
    for column, text in values.items():
        if not _WHOLE.fullmatch(text):
            raise UserError(f"{place}: {column} is {text!r}, expected a whole number from 0 up, of at most 12 digits")
    last_round, depth, width = (int(values[column].partition(".")[0]) for column in COLUMNS)
    if width > _WIDEST:
        raise UserError(f"{place}: width {width}, expected at most {_WIDEST}")
    return Segment(last_round, depth, width)


def _fall(last_round: int, before: int) -> str:
    if last_round < 1:
        return f"round {last_round}, expected rounds from 1 up"
    return f"round {last_round} after round {before}, expected rounds that rise"
