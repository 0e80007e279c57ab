"""Trajectories: which configuration was trained up to and including which round."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class TrajectoryRow(NamedTuple):
    """A line of a trajectory's file: its place for messages, and its texts by column."""

    place: str
    values: Mapping[str, str]

    def whole(self, column: str) -> int:
        """Return a column's value. Raises UserError unless it is a whole number from 0 up."""
        text = self.values[column]
        if not _WHOLE.fullmatch(text):
            raise UserError(
                f"{self.place}: {column} is {text!r}, expected a whole number from 0 up, of at most 12 digits"
            )
        return int(text.partition(".")[0])

    def check_rises(self, last_round: int, before: int) -> None:
        """Raise a UserError unless a round comes after the one of the line before."""
        if last_round <= before:
            raise UserError(f"{self.place}: {_fall(last_round, before)}")


def read_trajectory(path: Path) -> list[Segment]:
    """Read a CSV file of the columns `round,depth,width`; `round` is the last one of a configuration.

    A rank of LoRA stands in the column `width`, which may be called `rank`.

    A byte order mark, blank lines and blanks around values do not matter, nor does the order of the columns.

    Raises:
        UserError: the file cannot be read or is none of these; a message names its line.
    """
    found: list[Segment] = []
    for row in rows_of(path, COLUMNS, {"rank": "width"}):
        segment = _segment(row)
        row.check_rises(segment.last_round, found[-1].last_round if found else 0)
        found.append(segment)
    return found


def rows_of(path: Path, columns: Sequence[str], aliases: Mapping[str, str] | None = None) -> list[TrajectoryRow]:
    """Return the lines of a CSV file of exactly these columns, in any order; `aliases` are other names of columns.

    Raises:
        UserError: the file cannot be read, has other columns, or no lines below them; a message names its line.
    """
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            return list(_rows(((rows.line_num, row) for row in rows), str(path), columns, aliases or {}))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a CSV file: {error}") from error


def _rows(
    lines: Iterable[tuple[int, list[str]]], place: str, columns: Sequence[str], aliases: Mapping[str, str]
) -> Iterator[TrajectoryRow]:
    header: list[str] | None = None
    found = 0
    for number, row in lines:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if header is None:
            header = _header([aliases.get(cell.lower(), cell.lower()) for cell in cells], place, columns)
            continue
        where = f"{place}, line {number}"
        if len(cells) != len(header):
            raise UserError(f"{where}: {len(cells)} values, expected {len(header)}: {','.join(header)}")
        yield TrajectoryRow(where, dict(zip(header, cells, strict=True)))
        found += 1
    if not found:
        raise UserError(
            f"{place}: no rounds in it, expected the columns {','.join(columns)} and at least one line below"
        )


def _header(cells: list[str], place: str, columns: Sequence[str]) -> list[str]:
    if sorted(cells) != sorted(columns):
        raise UserError(f"{place}: the columns are {','.join(cells)}, expected {','.join(columns)}")
    return cells


def _segment(row: TrajectoryRow) -> Segment:
    for column in row.values:  # the first mistake in a line is the one that is told
        row.whole(column)
    last_round, depth, width = (row.whole(column) for column in COLUMNS)
    if width > _WIDEST:
        raise UserError(f"{row.place}: width {width}, expected at most {_WIDEST}")
    return Segment(last_round, depth, width)


def _fall(last_round: int, before: int) -> str:
    if last_round < 1:
        return f"round {last_round}, expected rounds from 1 up"
    return f"round {last_round} after round {before}, expected rounds that rise"
