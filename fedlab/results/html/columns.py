"""Chart data as columns: names once, numbers short, so that a page of many rounds stays small."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
ChartColumns = dict[str, list[Any]]

_DIGITS = 5  # significant ones: finer than a screen shows


def columns(rows: Iterable[Row], names: Sequence[str]) -> ChartColumns:
    """Return rows as columns of these names; a value that a row lacks, or that is not finite, is None."""
    listed = list(rows)
    return {name: [rounded(row.get(name)) for row in listed] for name in names}


def rows_of(table: ChartColumns) -> list[dict[str, Any]]:
    """Return columns as rows, as charts read them."""
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def rounded(value: Any) -> Any:
    """Return a number with five significant digits, None if it is not finite; other values as they are."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short == int(short) else short


def thinned(length: int, most: int) -> list[int]:
    """Return `most` places of a length or fewer, evenly spread, with the first and the last."""
    if length <= most:
        return list(range(length))
    if most <= 1:
        return [length - 1]
    return sorted({round(at * (length - 1) / (most - 1)) for at in range(most)})
