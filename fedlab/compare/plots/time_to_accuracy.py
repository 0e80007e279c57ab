"""Time to accuracy by board, as bars, and by link, as lines: a panel a target."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from fedlab.common.units import parse_bandwidth
from fedlab.compare.grouping import table_of
from fedlab.compare.plots.style import GREY, UNIT_NAMES, Look, legend, legend_name, panels
from fedlab.compare.summary import Comparison, Outcome, SummaryRow
from fedlab.compare.tables import SECONDS, common_unit, share_text
from fedlab.compare.tables import figure as figure_text
from fedlab.errors import UserError

_MOST_TARGETS = 3  # panels of a picture: the hardest targets anybody reached
_LOG_RANGE = 20.0  # times differing by more are drawn on a logarithmic scale
_BANDWIDTH = "link.options.bandwidth"


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What one picture shows: rows that differ in method and in one table of their setting, and its axis of time."""

    rows: Sequence[SummaryRow]
    targets: Sequence[int]  # places among a row's outcomes
    places: Sequence[str]  # the settings, in their order
    place_of: Callable[[SummaryRow], str]
    size: float  # of the unit of time, in seconds
    unit: str

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def never(self) -> list[str]:
        return [
            method
            for method in self.methods
            if any(not row.outcomes[at].reached for row in self.rows if row.method == method for at in self.targets)
        ]

    @property
    def outcomes(self) -> list[Outcome]:
        return [row.outcomes[at] for row in self.rows for at in self.targets]


def draw_by_device(comparison: Comparison, rows: Sequence[SummaryRow], look: Look) -> Figure:
    """Draw bars of the time to accuracy, a cluster a fleet."""
    scene = _scene(comparison, rows, "fleet")
    figure, axes = panels(8.0, 0.9 + 2.2 * len(scene.targets), len(scene.targets))
    for each, at in zip(axes, scene.targets, strict=True):
        _draw_clusters(each, scene, at, look)
        each.set_xticks(range(len(scene.places)), [re.sub(r"( \+|,) ", r"\1\n", place) for place in scene.places])
        each.set_xlim(-0.5, len(scene.places) - 0.5)
        each.tick_params(axis="x", length=0)
        each.set_title(_target_title(scene, at), loc="left", fontsize=10)
        each.set_ylabel(f"time ({UNIT_NAMES[scene.unit]})")
        _scale(each, scene, crosses=0)
    legend(figure, [Patch(color=look.colour(row.method), label=legend_name(row)) for row in _one_a_method(scene)])
    return figure


def draw_by_link(comparison: Comparison, rows: Sequence[SummaryRow], look: Look) -> Figure:
    """Draw lines of the time to accuracy over bandwidth or, where more tells links apart, over the links."""
    scene = _scene(comparison, rows, "link")
    figure, axes = panels(1.0 + 3.2 * len(scene.targets), 4.4, len(scene.targets), side_by_side=True)
    bandwidths = _bandwidths(comparison, rows)
    xs = bandwidths or [float(at) for at in range(len(scene.places))]
    for each, at in zip(axes, scene.targets, strict=True):
        for method in scene.methods:
            ours = [row for row in rows if row.method == method]
            points = {xs[scene.places.index(scene.place_of(row))]: row.outcomes[at] for row in ours}
            _draw_line(each, dict(sorted(points.items())), method, scene.size, look)
            _mark_never(each, [x for x, point in points.items() if not point.reached], scene, look, method)
        each.set_title(_target_title(scene, at), loc="left", fontsize=10)
        _mark_links(each, scene.places, bandwidths)
        _scale(each, scene, crosses=len(scene.never))
    axes[0].set_ylabel(f"time to accuracy ({UNIT_NAMES[scene.unit]})")
    legend(figure, [_line_handle(row, look) for row in _one_a_method(scene)] + _special_handles(scene))
    return figure


def _scene(comparison: Comparison, rows: Sequence[SummaryRow], table: str) -> _Scene:
    columns = [at for at, key in enumerate(comparison.setting_keys) if table_of(key) == table]

    def place_of(row: SummaryRow) -> str:
        return ", ".join(row.setting[at] for at in columns)

    reached = [at for at in range(len(rows[0].outcomes)) if any(row.outcomes[at].reached for row in rows)]
    targets = reached[:_MOST_TARGETS] or [0]
    times = [each.mean for row in rows for at in targets if (each := row.outcomes[at].seconds)]
    size, unit = common_unit(times, SECONDS)
    places = list(dict.fromkeys(map(place_of, rows)))
    return _Scene(rows=rows, targets=targets, places=places, place_of=place_of, size=size, unit=unit)


def _draw_clusters(axes: Axes, scene: _Scene, at: int, look: Look) -> None:
    width = 0.84 / len(scene.methods)
    for row in scene.rows:
        aside = scene.methods.index(row.method) - (len(scene.methods) - 1) / 2
        x = scene.places.index(scene.place_of(row)) + aside * width
        _draw_bar(axes, x, width, row.outcomes[at], scene.size, look.colour(row.method))


def _draw_bar(axes: Axes, x: float, width: float, outcome: Outcome, size: float, colour: str) -> None:
    how: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7}
    if outcome.seconds is None:
        axes.text(x, 0.03, "never", rotation=90, color=colour, transform=axes.get_xaxis_transform(), **how)
        return
    mean, std = outcome.seconds.mean / size, (outcome.seconds.std or 0.0) / size
    axes.bar(x, mean, 0.92 * width, color=colour, yerr=std or None, error_kw={"lw": 0.8, "ecolor": "#404040"})
    text = figure_text(mean) + (f"\n({outcome.reached}/{outcome.seeds})" if outcome.reached < outcome.seeds else "")
    axes.annotate(text, (x, mean + std), xytext=(0, 2), textcoords="offset points", **how)


def _draw_line(axes: Axes, points: dict[float, Outcome], method: str, size: float, look: Look) -> None:
    reached = {x: (each, each.seconds) for x, each in points.items() if each.seconds is not None}
    means = [seconds.mean / size for _, seconds in reached.values()]
    errors = [(seconds.std or 0.0) / size for _, seconds in reached.values()]
    colour = look.colour(method)
    axes.errorbar(list(reached), means, errors, color=colour, ls=look.dash(method), lw=1.6, capsize=2, elinewidth=0.8)
    for (x, (outcome, _)), mean in zip(reached.items(), means, strict=True):
        face = colour if outcome.reached == outcome.seeds else "white"
        axes.plot(x, mean, look.marker(method), color=colour, mfc=face, ms=5.5, zorder=3)


def _mark_never(axes: Axes, xs: Sequence[float], scene: _Scene, look: Look, method: str) -> None:
    """Put crosses above the lines, each method's a little lower than those of the one before."""
    if xs:
        heights = [0.97 - 0.045 * scene.never.index(method)] * len(xs)
        how: dict[str, Any] = {"color": look.colour(method), "ms": 6, "mew": 2}
        axes.plot(xs, heights, "x", transform=axes.get_xaxis_transform(), **how)


def _mark_links(axes: Axes, places: Sequence[str], bandwidths: Sequence[float]) -> None:
    if not bandwidths:
        axes.set_xticks(range(len(places)), places, rotation=20, ha="right", fontsize=8)
        return
    axes.set_xscale("log")
    axes.set_xticks(sorted(bandwidths), [f"{value:g}" for value in sorted(bandwidths)])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel("bandwidth (MB/s)")


def _bandwidths(comparison: Comparison, rows: Sequence[SummaryRow]) -> list[float]:
    """Return the links' bandwidths in MB/s, in their order; nothing if more than a bandwidth tells links apart."""
    if [key for key in comparison.setting_keys if table_of(key) == "link"] != [_BANDWIDTH]:
        return []
    at = comparison.setting_keys.index(_BANDWIDTH)
    try:
        return [parse_bandwidth(text) / 1e6 for text in dict.fromkeys(row.setting[at] for row in rows)]
    except UserError:
        return []


def _scale(axes: Axes, scene: _Scene, *, crosses: int) -> None:
    """Choose the axis of time by all panels, with room above for the text there and for rows of crosses."""
    times = [each.seconds.mean / scene.size for each in scene.outcomes if each.seconds and each.seconds.mean > 0]
    if times and max(times) / min(times) > _LOG_RANGE:
        axes.set_yscale("log")
        axes.set_ylim(min(times) / 2, max(times) * 5 * 1.5**crosses)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_ylim(0, (1.25 + 0.06 * crosses) * max(times, default=1.0))


def _target_title(scene: _Scene, at: int) -> str:
    outcome = scene.rows[0].outcomes[at]
    return f"{share_text(outcome.share)} of full accuracy ({outcome.accuracy:.3f})"


def _one_a_method(scene: _Scene) -> list[SummaryRow]:
    unfinished = {row.method: row for row in scene.rows if row.unfinished}
    return [unfinished.get(row.method, row) for row in {row.method: row for row in reversed(scene.rows)}.values()][::-1]


def _line_handle(row: SummaryRow, look: Look) -> Line2D:
    style, marker = look.dash(row.method), look.marker(row.method)
    return Line2D([], [], color=look.colour(row.method), ls=style, marker=marker, ms=5.5, label=legend_name(row))


def _special_handles(scene: _Scene) -> list[Line2D]:
    handles = []
    if any(0 < outcome.reached < outcome.seeds for outcome in scene.outcomes):
        handles.append(Line2D([], [], ls="", marker="o", color=GREY, mfc="white", label="reached by some seeds"))
    if any(outcome.reached == 0 for outcome in scene.outcomes):
        handles.append(Line2D([], [], ls="", marker="x", mew=2, color=GREY, label="never reached"))
    return handles
