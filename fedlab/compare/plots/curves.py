"""Accuracy over simulated time: a line a method, with a band over its seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fedlab.compare.measurements import Measurement
from fedlab.compare.options import ComparisonOptions
from fedlab.compare.plots.style import GREY, UNIT_NAMES, Look, legend, legend_name, panels
from fedlab.compare.summary import SummaryRow
from fedlab.compare.tables import SECONDS, common_unit, share_text

_MOST_MARKERS = 30


def draw_accuracy(rows: Sequence[SummaryRow], look: Look, options: ComparisonOptions) -> Figure:
    """Draw the methods of one setting, and the targets as dotted lines."""
    figure, (axes,) = panels(8.0, 5.0, 1)
    size, unit = common_unit([max(curve[-1].seconds for row in rows for curve in row.curves)], SECONDS)
    for row in rows:
        _draw_method(axes, row, look, size)
    if options.log_time:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_xlim(left=0)
    _mark_targets(axes, rows[0])
    axes.set_xlabel(f"simulated time ({UNIT_NAMES[unit]})")
    axes.set_ylabel(f"{options.split} accuracy")
    axes.set_title(", ".join(rows[0].setting), loc="left", fontsize=10)
    legend(figure, axes.get_legend_handles_labels()[0])
    return figure


def curve_over_seeds(
    curves: Sequence[Sequence[Measurement]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, mean and standard deviation of accuracies while all seeds were running.

    That is from the first time at which each was measured to the last time of the one that ended first. Between
    measurements an accuracy stands at its last value.
    """
    times = np.unique([each.seconds for curve in curves for each in curve])
    first, last = max(curve[0].seconds for curve in curves), min(curve[-1].seconds for curve in curves)
    times = times[(times >= first) & (times <= last)]
    values = np.array([_standing(curve, times) for curve in curves])
    return times, values.mean(axis=0), values.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(times))


def _standing(curve: Sequence[Measurement], times: np.ndarray) -> np.ndarray:
    seconds = [each.seconds for each in curve]
    return np.array([each.accuracy for each in curve])[np.searchsorted(seconds, times, side="right") - 1]


def _draw_method(axes: Axes, row: SummaryRow, look: Look, size: float) -> None:
    colour = look.colour(row.method)
    times, mean, std = curve_over_seeds(row.curves)
    if len(row.curves) > 1:
        axes.fill_between(times / size, mean - std, mean + std, color=colour, alpha=0.2, lw=0, step="post")
    marker = look.marker(row.method) if len(times) <= _MOST_MARKERS else ""
    how: dict[str, Any] = {"color": colour, "ls": look.dash(row.method), "drawstyle": "steps-post"}
    axes.plot(times / size, mean, marker=marker, lw=1.8, ms=4, label=legend_name(row), **how)


def _mark_targets(axes: Axes, row: SummaryRow) -> None:
    for number, outcome in enumerate(row.outcomes):
        label = None if number else f"shares of {row.full_accuracy:.3f}"
        axes.axhline(outcome.accuracy, color=GREY, lw=0.7, ls=(0, (2, 3)), zorder=0, label=label)
        place = (1.01, outcome.accuracy)
        axes.text(*place, share_text(outcome.share), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
