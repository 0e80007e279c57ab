"""Quantities with units, as people read and write them."""

import re
import sys
from collections.abc import Sequence
from typing import TypeGuard

from fedlab.common.short_text import short
from fedlab.errors import UserError

_BYTES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))
_SECONDS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
_JOULES = ((1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ"))


def human_bytes(count: float) -> str:
    """Return a number of bytes in decimal units, as for networks: 1.5 MB is 1,500,000 bytes."""
    return f"{count:.0f} B" if count < 999.5 else _scaled(count, _BYTES)


def human_seconds(seconds: float) -> str:
    """Return a duration in the largest of seconds, minutes, hours or days that reaches 1."""
    return _scaled(seconds, _SECONDS)


def human_joules(joules: float) -> str:
    """Return an energy in the largest of J, kJ, MJ or GJ that reaches 1."""
    return _scaled(joules, _JOULES)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which gets an s unless there is one: "1 trial", "2 trials"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def human_share(share: float | None) -> str:
    """Return an accuracy with three decimals, or a dash if it was not measured."""
    return "-" if share is None else f"{share:.3f}"


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    # Rounded values are compared, so that 999.96 kB is not shown as "1000 kB".
    size, unit = units[0]
    for larger, name in units[1:]:
        if float(_three_figures(value / size)) * size >= larger:
            size, unit = larger, name
    return f"{_three_figures(value / size)} {unit}"


def _three_figures(value: float) -> str:
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{decimals}f}"


_BYTES_PER_UNIT = {
    "B/s": 1.0,
    "kB/s": 1e3,
    "MB/s": 1e6,
    "GB/s": 1e9,
    "bit/s": 1 / 8,
    "kbit/s": 1e3 / 8,
    "Mbit/s": 1e6 / 8,
    "Gbit/s": 1e9 / 8,
}
_POWERS = {"k": 1, "M": 2, "G": 3}  # of a thousand, by prefix
LEAST_BANDWIDTH, MOST_BANDWIDTH = 1e-3, 1e18  # in bytes per second; others are mistakes, and overflow
_AMOUNT = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z]+/s)\s*")


def parse_bandwidth(bandwidth: str | float, *, thousand: int = 1000) -> float:
    """Return a bandwidth in bytes per second.

    Text needs a unit, with prefixes as powers of 1000 ('1MB/s' and '8Mbit/s' are both 1e6), or of another `thousand`;
    a number is bytes per second. Raises UserError for anything else, and unless the bandwidth is above zero.
    """
    speed = _parse_text(bandwidth, thousand) if isinstance(bandwidth, str) else bandwidth
    if not is_number(speed) or speed <= 0:
        raise UserError(
            f"bandwidth {short(bandwidth)} is not usable: expected a number above zero with a unit of "
            f"{', '.join(_BYTES_PER_UNIT)} (such as '1MB/s'), or a plain number of bytes per second"
        )
    if not LEAST_BANDWIDTH <= speed <= MOST_BANDWIDTH:
        raise UserError(
            f"bandwidth {short(bandwidth)} is not usable: expected {LEAST_BANDWIDTH:g} to {MOST_BANDWIDTH:g} bytes "
            "per second"
        )
    return float(speed)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite number (not a boolean)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # of whole numbers, math.isfinite raises beyond that


def _parse_text(text: str, thousand: int) -> float | None:
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2] not in _BYTES_PER_UNIT:
        return None
    try:
        return float(match[1]) * _BYTES_PER_UNIT[match[2]] * (thousand / 1000) ** _POWERS.get(match[2][0], 0)
    except ValueError:  # digits and dots that do not form a number, such as 1.2.3
        return None
