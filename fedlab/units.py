"""Quantities as people read them: three figures and a unit."""

from collections.abc import Sequence

_BYTES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))
_SECONDS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d"))
_JOULES = ((1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ"))


def human_bytes(count: float) -> str:
    """Return a number of bytes in decimal units, as networks are rated: 1.5 MB is 1,500,000 bytes."""
    return f"{count:.0f} B" if count < 999.5 else _scaled(count, _BYTES)


def human_seconds(seconds: float) -> str:
    """Return a duration in seconds, minutes, hours or days, whichever is the largest that reaches 1."""
    return _scaled(seconds, _SECONDS)


def human_joules(joules: float) -> str:
    """Return an energy in joules, kilojoules, megajoules or gigajoules."""
    return _scaled(joules, _JOULES)


def human_share(share: float | None) -> str:
    """Return an accuracy with three decimals, or a dash where nothing was measured."""
    return "-" if share is None else f"{share:.3f}"


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    # Compared as rounded, lest 999.96 kB be shown as "1000 kB".
    size, unit = units[0]
    for larger, name in units[1:]:
        if float(_three_figures(value / size)) * size >= larger:
            size, unit = larger, name
    return f"{_three_figures(value / size)} {unit}"


def _three_figures(value: float) -> str:
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{decimals}f}"
