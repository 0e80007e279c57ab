"""The figure of a run: accuracy and configuration against simulated time."""

import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlab.results.configuration import axis_names, label, label_heading
from fedlab.results.records import RoundRecord, TrialRecord
from fedlab.results.report import is_upgrade, starting_configuration

# Okabe and Ito's palette, told apart with any kind of colour vision.
_VALIDATION, _TEST = "#0072B2", "#D55E00"
_GREY = "#8A8A8A"
_FEW_ROUNDS = 200
_LABEL_SPACING = 0.022  # of the width of the plot: the height of a line of rotated text
_AXIS_SPACING = 44.0  # points between the scales of two axes on the right

# How each axis of the configuration is drawn: colour, line style, and where its scale ends, in multiples of its largest
# value. The multiples differ so that lines do not lie on each other while nothing changes.
_AXIS_STYLES = (("#009E73", "-", 1.15), ("#AA4499", "--", 1.4), ("#E69F00", "-.", 1.7), ("#56B4E9", ":", 2.0))

_UNITS = (("hours", 3600.0, 7200.0), ("minutes", 60.0, 90.0), ("seconds", 1.0, 0.0))  # and from how long on


def plot_accuracy(
    rounds: Sequence[RoundRecord], trials: Sequence[TrialRecord], path: Path, *, score: str = "accuracy"
) -> None:
    """Draw accuracy over time, and below it the axes of the configuration, to an image file; `score` is its name.

    Trials are bands of two shades; where one changed the configuration there is a line with the new configuration.
    Raises `OSError` if the file cannot be written.
    """
    figure = Figure(figsize=(8.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window and no state shared with other figures
    accuracy, configuration = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    end = max([record.simulated_seconds for record in rounds], default=0.0) or 1.0
    unit, size = next((unit, size) for unit, size, least in _UNITS if end > least)
    _draw_trials((accuracy, configuration), trials, size)
    _draw_accuracy(accuracy, rounds, trials, size)
    accuracy.set_ylabel(score)
    _label_upgrades(accuracy, trials, size, end)
    _draw_configuration(configuration, rounds, trials, size)
    configuration.set_xlabel(f"time ({unit})")
    configuration.set_xlim(0, 1.01 * end / size)
    figure.savefig(path)


def _draw_trials(panels: Sequence[Axes], trials: Sequence[TrialRecord], size: float) -> None:
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GREY)
        for trial in trials[::2]:
            axes.axvspan(trial.started_seconds / size, trial.ended_seconds / size, color="#F1F1F1", lw=0, zorder=0)
        for number, trial in enumerate(filter(is_upgrade, trials)):
            name = None if number else " ".join(["upgrade", *_heading(trial)])
            axes.axvline(trial.ended_seconds / size, color=_GREY, lw=0.8, ls=(0, (4, 3)), zorder=1, label=name)


def _heading(trial: TrialRecord) -> list[str]:
    heading = label_heading(trial.configuration)
    return [f"to {heading}"] if heading else []


def _draw_accuracy(axes: Axes, rounds: Sequence[RoundRecord], trials: Sequence[TrialRecord], size: float) -> None:
    losers = [(t.ended_seconds, c.validation_accuracy) for t in trials for c in t.candidates if c.group != t.winner]
    if losers:
        xs, ys = zip(*losers, strict=True)
        axes.plot([x / size for x in xs], ys, "x", color=_VALIDATION, ms=4, alpha=0.45, label="losing candidates")
    for name, colour, marker, points in (
        ("validation", _VALIDATION, "o", [(r.simulated_seconds, r.validation_accuracy) for r in rounds]),
        ("test", _TEST, "s", [(r.simulated_seconds, r.test_accuracy) for r in rounds]),
    ):
        measured = [(seconds / size, share) for seconds, share in points if share is not None]
        if measured:
            style = marker if len(measured) <= 60 else ""
            axes.plot(*zip(*measured, strict=True), color=colour, marker=style, ms=3.5, lw=1.6, label=name)
    axes.grid(axis="y", color="#DDDDDD", lw=0.6)
    if axes.get_legend_handles_labels()[0]:
        few = len(rounds) <= _FEW_ROUNDS  # on a long curve the search for the best place is slow
        axes.legend(loc="best" if few else "lower right", framealpha=0.9, edgecolor="none")


def _label_upgrades(axes: Axes, trials: Sequence[TrialRecord], size: float, end: float) -> None:
    previous = -end
    for trial in filter(is_upgrade, trials):
        if trial.ended_seconds - previous < _LABEL_SPACING * end:
            continue  # it would overlap the one before; the panel below shows the change as well
        previous = trial.ended_seconds
        place = (trial.ended_seconds / size, 1.01)
        text = label(trial.configuration)
        axes.text(*place, text, transform=axes.get_xaxis_transform(), rotation=90, ha="center", va="bottom", fontsize=8)


def _draw_configuration(axes: Axes, rounds: Sequence[RoundRecord], trials: Sequence[TrialRecord], size: float) -> None:
    if not rounds:
        return
    start = starting_configuration(trials[0]) if trials else rounds[0].configuration
    configurations = [start, *(record.configuration for record in rounds)]
    times = [0.0, *(record.simulated_seconds / size for record in rounds)]
    names = axis_names(configurations, numeric=True)
    if not names:
        axes.set_yticks([])
    for place, (name, style) in enumerate(zip(names, cycle(_AXIS_STYLES), strict=False)):
        values = [_number(each.get(name)) for each in configurations]
        _draw_axis(_panel(axes, place), name, times, values, style)


def _number(value: int | str | None) -> float:
    """Return a value of an axis as it is drawn: a gap where a configuration does not have the axis."""
    return float(value) if isinstance(value, int) else math.nan


def _panel(axes: Axes, place: int) -> Axes:
    """Return where the axis at a place is drawn: the first one on the left scale, others on scales of their own."""
    if place == 0:
        return axes
    other = axes.twinx()
    other.spines[["top", "left", "bottom"]].set_visible(False)
    other.spines["right"].set_color(_GREY)
    other.spines["right"].set_position(("outward", (place - 1) * _AXIS_SPACING))
    return other


def _draw_axis(
    panel: Axes, name: str, times: Sequence[float], values: Sequence[float], style: tuple[str, str, float]
) -> None:
    colour, dashes, room = style
    panel.step(times, values, where="post", color=colour, ls=dashes, lw=1.8)
    panel.set_ylabel(name, color=colour)
    panel.tick_params(axis="y", colors=colour)
    panel.set_ylim(0, max(1.0, *(value for value in values if not math.isnan(value))) * room)
    panel.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
