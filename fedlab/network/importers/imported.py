"""The table that an importer makes of another simulator's file, and the CSV file it is written to."""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.common.files import write_new
from fedlab.errors import UserError

TraceRows = list[tuple[float, ...]]

AVAILABILITY_COLUMNS = ("partition_id", "on_seconds", "off_seconds", "period_seconds")


@dataclass(frozen=True, kw_only=True)
class ImportedTable:
    """A table whose first column is the partition id, counted from 0 in the order of the source.

    `left_out` counts the clients of the source that are not in the table, by reason.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    left_out: Mapping[str, int]

    @property
    def clients(self) -> int:
        """The number of clients in the table."""
        return len({row[0] for row in self.rows})


class LeftOutError(Exception):
    """A client of the source has no usable data; the message is the reason, which `left_out` counts by."""


def gather(columns: tuple[str, ...], readers: Iterable[Callable[[], TraceRows]], path: Path) -> ImportedTable:
    """Number the usable clients; each client's reader returns its rows without the id, or raises LeftOutError.

    Raises:
        UserError: no client is usable.
    """
    rows: list[tuple[float, ...]] = []
    left_out: Counter[str] = Counter()
    partition_id = 0
    for read in readers:
        try:
            rows += [(partition_id, *row) for row in read()]
        except LeftOutError as reason:
            left_out[str(reason)] += 1
        else:
            partition_id += 1
    if not rows:
        raise UserError(f"{path}: no client can be used: {describe_left_out(left_out) or 'the file has none'}")
    return ImportedTable(columns=columns, rows=tuple(rows), left_out=dict(left_out))


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return the reasons and their counts as text."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())


def write_csv(imported: ImportedTable, path: Path) -> None:
    """Write the table to a new file; raises as `write_new` does."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(imported.columns)
    writer.writerows(imported.rows)
    write_new(path, text.getvalue())


def clients_of(document: object, path: Path) -> Mapping[object, Mapping[str, object]]:
    """Return the source's clients by id; raises UserError unless the document is a table of tables."""
    if not isinstance(document, dict) or not all(isinstance(client, dict) for client in document.values()):
        raise UserError(f"{path}: expected a dictionary with one dictionary for each client")
    return document


def value_of(client: Mapping[str, object], key: str, kind: type, place: str) -> Any:
    """Return a client's value; raises UserError if it is missing or has another type."""
    if key not in client:
        raise UserError(f"{place}: no '{key}'; it has {', '.join(map(str, client)) or 'nothing'}")
    value = client[key]
    if kind is float:
        return number(value, f"{place}: '{key}'")
    if not isinstance(value, kind):
        raise UserError(f"{place}: '{key}' is {str(value)[:40]!r}, expected {_KINDS[kind]}")
    return value


def number(value: object, what: str) -> float:
    """Return a number, possibly infinite; raises UserError for anything else, NaN included."""
    try:
        # An integer of hundreds of digits overflows a float.
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
            return value
    except OverflowError:
        return math.inf
    raise UserError(f"{what} is {str(value)[:40]!r}, expected a number")


def positive(value: float, what: str) -> float:
    """Return a number; raises LeftOutError unless it is finite and above zero."""
    if not (math.isfinite(value) and value > 0):
        raise LeftOutError(f"whose {what} is not a finite number above zero")
    return value


_KINDS: dict[type, str] = {str: "text", list: "a list"}
