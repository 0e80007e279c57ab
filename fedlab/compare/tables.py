"""A comparison as tables of text: one sheet for each of time, speed-up, traffic and energy."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from fedlab.compare.summary import Comparison, Outcome, Spread, SummaryRow

Units = Sequence[tuple[float, str]]

# Hours are the largest unit of time: published results are in hours.
SECONDS: Units = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
BYTES: Units = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))
JOULES: Units = ((1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ"))


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of text; the first `words` columns are names, the others figures."""

    title: str
    headings: tuple[str, ...]
    words: int
    rows: tuple[tuple[str, ...], ...]


def sheets(comparison: Comparison) -> list[Sheet]:
    """Return the sheets of a comparison; speed-ups only if there is a baseline."""
    time = _quantity(comparison, "Time to accuracy", SECONDS, lambda outcome: outcome.seconds, first=True)
    traffic = _quantity(comparison, "Traffic to accuracy", BYTES, lambda outcome: outcome.num_bytes)
    energy = _quantity(comparison, "Energy to accuracy", JOULES, lambda outcome: outcome.joules)
    if comparison.options.baseline is None:
        return [time, traffic, energy]
    return [time, _sheet(comparison, f"Speed-up over {comparison.options.baseline}", _speedup), traffic, energy]


def common_unit(values: Iterable[float], units: Units) -> tuple[float, str]:
    """Return the unit, as its size and name, in which the median of some values has the fewest digits."""
    found = list(values)
    middle = median(found) if found else 0.0
    return max((unit for unit in units if unit[0] <= middle), default=units[0])


def figure(value: float) -> str:
    """Return a number with three significant digits, and never an exponent."""
    return f"{value:.{_decimals(value)}f}"


def spread_text(spread: Spread, size: float = 1.0) -> str:
    """Return mean and deviation in a unit of a size: `1.30±0.12`; two digits of the deviation say enough."""
    mean = spread.mean / size
    if spread.std is None:
        return figure(mean)
    std = spread.std / size
    decimals = min(_decimals(mean), _decimals(std) - 1) if std else _decimals(mean)
    return f"{mean:.{max(0, decimals)}f}±{std:.{max(0, decimals)}f}"


def share_text(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.4g}%"


def _quantity(
    comparison: Comparison,
    title: str,
    units: Units,
    of: Callable[[Outcome], Spread | None],
    *,
    first: bool = False,
) -> Sheet:
    spreads = [found for row in comparison.rows for each in row.outcomes if (found := of(each))]
    size, name = common_unit((each.mean for each in spreads), units)

    def cell(row: SummaryRow, outcome: Outcome) -> str:
        found = of(outcome)
        if found is None and outcome.reached:
            return "unknown"
        if found is None:
            return f"never (best {row.best.mean:.3f})"
        parts = [spread_text(found, size), *_seeds_there(outcome)]
        if row.oracle and row.name == f"{row.method} (oracle)":
            parts.append(f"[{outcome.choice}]")
        return " ".join(parts)

    return _sheet(comparison, f"{title} ({name})", cell, first=first)


def _speedup(row: SummaryRow, outcome: Outcome) -> str:
    return "-" if outcome.speedup is None else " ".join([f"{figure(outcome.speedup)}x", *_seeds_there(outcome)])


def _seeds_there(outcome: Outcome) -> list[str]:
    return [f"({outcome.reached}/{outcome.seeds})"] if outcome.reached < outcome.seeds else []


def _sheet(
    comparison: Comparison, title: str, cell: Callable[[SummaryRow, Outcome], str], *, first: bool = False
) -> Sheet:
    """Return a sheet; the first one also says over how many seeds, and how accurate each method became."""
    words = (*comparison.setting_names, "method")
    rows = []
    for row in comparison.rows:
        about = (str(len(row.seeds)), spread_text(row.best)) if first else ()
        rows.append((*row.setting, _marked(row), *about, *(cell(row, outcome) for outcome in row.outcomes)))
    about = ("seeds", "best") if first else ()
    return Sheet(title=title, headings=(*words, *about, *_targets(comparison)), words=len(words), rows=tuple(rows))


def _targets(comparison: Comparison) -> list[str]:
    """Name the targets, with the accuracy they stand for if it is the same in all settings."""
    alike = len({row.full_accuracy for row in comparison.rows}) == 1
    return [
        share_text(outcome.share) + (f" ({outcome.accuracy:.3f})" if alike else "")
        for outcome in comparison.rows[0].outcomes
    ]


def _marked(row: SummaryRow) -> str:
    return f"{row.name} *" if row.unfinished else row.name


def _decimals(value: float) -> int:
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return max(0, 2 - magnitude)
