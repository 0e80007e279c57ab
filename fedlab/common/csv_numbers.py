"""CSV files of numbers under a header line (traces, measurements); errors name file and line."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlab.common.short_text import shortened
from fedlab.common.text_lines import numbered_lines
from fedlab.errors import UserError

_SMALLEST, _LARGEST = 1e-9, 1e18  # sums and quotients of such numbers are finite


@dataclass(frozen=True, kw_only=True)
class NumberRow:
    """The numbers of one line by column; optional columns without a value are absent."""

    place: str
    values: dict[str, float]

    def partition_id(self) -> int:
        """Return the column `partition_id`; raises UserError unless it is a whole number from 0 up."""
        value = self.values["partition_id"]
        if value < 0 or value != int(value):
            raise UserError(f"{self.place}: partition_id is {value:g}, expected a whole number from 0 up")
        return int(value)

    def not_negative(self, column: str) -> float:
        """Return a column's number; raises UserError if it is below zero."""
        if self.values[column] < 0:
            raise UserError(f"{self.place}: {column} is {self.values[column]:g}, expected a number from 0 up")
        return self.values[column]

    def positive(self, column: str) -> float:
        """Return a column's number; raises UserError unless it is above zero."""
        if self.values[column] <= 0:
            raise UserError(f"{self.place}: {column} is {self.values[column]:g}, expected a number above 0")
        return self.values[column]


def number_rows(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[NumberRow]:
    """Yield the rows of a CSV file with the named columns; other columns are ignored, so one file can serve many uses.

    Raises:
        UserError: the file cannot be read, has no rows, lacks a column, or a value is not a finite number.
    """
    reader = csv.reader((line for _, line in numbered_lines(path)), strict=True)
    found = 0
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_header(path, names, required)
        wanted = [(index, name) for index, name in enumerate(names) if name in (*required, *optional)]
        for fields in reader:
            if fields:
                found += 1
                yield _row(f"{path}, line {reader.line_num}", fields, names, wanted, required)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
    if not found:
        raise UserError(f"{path}: no rows, expected at least one line of {','.join(required)} under the header")


def _check_header(path: Path, names: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        raise UserError(f"{path}, line 1: no column {missing[0]}: expected a header line with {','.join(required)}")
    if len(set(names)) < len(names):
        raise UserError(f"{path}, line 1: a column is named twice: {','.join(names)}")


def _row(
    place: str, fields: Sequence[str], names: Sequence[str], wanted: Sequence[tuple[int, str]], required: Sequence[str]
) -> NumberRow:
    if len(fields) != len(names):
        raise UserError(f"{place}: {len(fields)} fields, expected {len(names)} ({','.join(names)})")
    values = {
        name: _number(place, name, fields[index]) for index, name in wanted if fields[index].strip() or name in required
    }
    return NumberRow(place=place, values=values)


def _number(place: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{place}: {name} is '{shortened(text.strip())}', expected a number")
    if value and not _SMALLEST <= abs(value) <= _LARGEST:
        raise UserError(f"{place}: {name} is {value:g}, expected 0 or a number from {_SMALLEST:g} to {_LARGEST:g}")
    return value
