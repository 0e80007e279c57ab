"""Tables that compare our figures with the published ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """One figure of a table: ours, and the published one (None if unpublished); `note` describes it.

    `ours` is None where the published facts do not suffice to compute it; `note` then says why.
    """

    row: str
    column: str
    ours: float | None
    paper: float | None = None
    note: str = ""
    inferred: bool = False  # ours rests on a number of rounds that is not published

    @property
    def difference(self) -> float | None:
        """Return the relative difference of ours to the published figure."""
        return None if self.paper is None or self.ours is None else self.ours / self.paper - 1

    @property
    def as_printed(self) -> bool | None:
        """Tell whether ours equals the published figure when rounded to its digits."""
        if self.paper is None or self.ours is None:
            return None
        last_digit = Decimal(repr(self.paper)).as_tuple().exponent
        assert isinstance(last_digit, int), "a finite number"
        return abs(Decimal(repr(self.ours)) - Decimal(repr(self.paper))) <= Decimal(5).scaleb(last_digit - 1)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of cells of one unit."""

    title: str
    unit: str
    cells: tuple[PaperCell, ...]

    @property
    def rows(self) -> list[str]:
        """Return the names of the rows, in order."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns, in order."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    def at(self, row: str, column: str) -> PaperCell | None:
        """Return the cell of a row and column, None if it is empty."""
        return next((cell for cell in self.cells if (cell.row, cell.column) == (row, column)), None)


def as_plain(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return sections as JSON values."""
    return [
        {"title": section.title, "unit": section.unit, "cells": [_plain_cell(cell) for cell in section.cells]}
        for section in sections
    ]


def _plain_cell(cell: PaperCell) -> dict[str, Any]:
    return {
        "row": cell.row,
        "column": cell.column,
        "ours": cell.ours,
        "paper": cell.paper,
        "relative_difference": cell.difference,
        "as_printed": cell.as_printed,
        "inferred": cell.inferred,
        "note": cell.note,
    }
