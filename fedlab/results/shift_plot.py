"""The figure of the shifts of a run in integers: those of each layer over the steps, as in Mandheling's Figure 4."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlab.results.records import ShiftRecord

_PANELS = ("activation", "error")  # the ends of the names of tensors
# Okabe and Ito's palette, told apart with any kind of colour vision; more layers repeat it with other dashes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":")
_APART = 0.08  # by which lines of layers are moved, so that equal shifts do not hide each other


def plot_shifts(shifts: Sequence[ShiftRecord], path: Path) -> None:
    """Draw the shifts of activations and of errors over the steps of the client that took most, to an image file.

    The steps of a client's rounds follow one another. Raises `OSError` if the file cannot be written.
    """
    client = _busiest(shifts)
    lines = shift_lines([record for record in shifts if record.partition_id == client])
    figure = Figure(figsize=(8.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in lines))  # those that are first on the way there
    for axes, kind in zip(figure.subplots(2, 1, sharex=True), _PANELS, strict=True):
        _draw(axes, {layer: lines[f"{layer}.{kind}"] for layer in layers if f"{layer}.{kind}" in lines}, layers, kind)
    figure.axes[-1].set_xlabel(f"step of client {client}")
    figure.savefig(path)


def shift_lines(shifts: Sequence[ShiftRecord]) -> dict[str, list[tuple[int, int]]]:
    """Return the steps at which each tensor of a client has another shift, and the shift; at last where it ends."""
    lines: dict[str, list[tuple[int, int]]] = {}
    ends: Counter[str] = Counter()
    for record in shifts:
        line = lines.setdefault(record.tensor, [])
        line += [(ends[record.tensor] + step, shift) for step, shift in record.changes]
        ends[record.tensor] += record.steps
    return {name: [*line, (ends[name], line[-1][1])] for name, line in lines.items() if line}


def _busiest(shifts: Sequence[ShiftRecord]) -> int:
    steps: Counter[int] = Counter()
    for record in shifts:
        steps[record.partition_id] += record.steps
    return min(steps, key=lambda client: (-steps[client], client))


def _draw(axes: Axes, lines: dict[str, list[tuple[int, int]]], layers: Sequence[str], kind: str) -> None:
    for layer, line in lines.items():
        place, (steps, values) = layers.index(layer), zip(*line, strict=True)
        moved = [value + (place - (len(layers) - 1) / 2) * _APART for value in values]
        colour, dashes = _COLOURS[place % len(_COLOURS)], _DASHES[place // len(_COLOURS) % len(_DASHES)]
        axes.step(steps, moved, where="post", color=colour, ls=dashes, lw=1.4, label=f"layer {layer}")
    axes.set_ylabel(f"shift n of the {kind}s")
    axes.margins(y=0.1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", lw=0.6)
    if lines:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
