"""What the charts have in common: Vega-Lite specifications, whose data are named columns.

Colours are CSS variables of the page, so that the charts follow it from light to dark and to print.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlab.results.html.curves import Axis

ChartSpec = dict[str, Any]

SERIES = tuple(f"var(--series-{at})" for at in range(1, 9))
ACCENT, MUTED, INK = "var(--series-1)", "var(--muted)", "var(--ink)"

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_PADDING = 6  # pixels before the first mark and after the last, which would be cut in half
_LONG_NAME = 16  # in a legend: longer ones are below each other
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])


def chart_spec(content: Mapping[str, Any]) -> ChartSpec:
    """Return a specification that is as wide as its place on the page."""
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": None,
        "config": _config(),
        **content,
    }


def _config() -> dict[str, Any]:
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": 500}
    return {
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "aria": False,  # the figure says what it shows; hundreds of marks would be read one by one
        "axisQuantitative": {"tickCount": 8},
        "axisY": {"minExtent": 42},
        "axis": {**text, "gridColor": "var(--grid)", "domainColor": MUTED, "tickColor": MUTED},
        "legend": {**text, "orient": "top", "direction": "horizontal", "labelLimit": 330, "columns": 4},
        "text": {"color": INK, "font": "system-ui, sans-serif"},
    }


def x_encoding(axis: Axis, column: str | None = None, *, nice: bool = False) -> dict[str, Any]:
    """Return the encoding of an axis, or of another column in its unit."""
    ticks = {"axis": {"tickMinStep": 1}} if axis.key == "round" else {}
    # A nice axis ends beside its last mark; with padding before the first it would begin below zero.
    scale = {"nice": nice, "zero": axis.key != "round", "padding": 0 if nice else _PADDING}
    return {"field": column or axis.key, "type": "quantitative", "title": axis.title, "scale": scale, **ticks}


def zoom() -> dict[str, Any]:
    """Return a zoom along x by the wheel with shift, so that the page still scrolls over a chart."""
    select = {"type": "interval", "encodings": ["x"], "zoom": "wheel![event.shiftKey]"}
    return {"name": "zoom", "select": select, "bind": "scales"}


def line_styles(column: str, domain: Sequence[str], title: str | None = None) -> dict[str, Any]:
    """Return the colours of lines by name, and dashes for those who do not tell the colours apart."""
    columns = 1 if max(map(len, domain), default=0) > _LONG_NAME else 4
    legend = {"title": title, "symbolType": "stroke", "symbolSize": 260, "symbolStrokeWidth": 2, "columns": columns}
    styles = {"color": SERIES, "strokeDash": _DASHES}
    return {
        channel: {
            "field": column,
            "type": "nominal",
            "scale": {"domain": list(domain), "range": [each[at % len(each)] for at in range(len(domain))]},
            "legend": legend,
        }
        for channel, each in styles.items()
    }


def tooltip_of(column: str, title: str, *, kind: str = "quantitative", form: str | None = None) -> dict[str, Any]:
    """Return a line of a tooltip: a column under a title, numbers in a format."""
    return {"field": column, "type": kind, "title": title, **({"format": form} if form else {})}
