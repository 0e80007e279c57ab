"""What all pictures of a comparison share: the look of a method, the panels, the legend, the file."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fedlab.common.files import replacing
from fedlab.compare.summary import Comparison, SummaryRow

GREY = "#8A8A8A"
UNIT_NAMES = {"s": "seconds", "min": "minutes", "h": "hours"}

# Okabe and Ito's palette, told apart with any kind of colour vision, without its yellow, which is too light for lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":", "-.")  # beyond the palette
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LETTERS_AN_INCH = 12  # of the legend


class Look:
    """Gives every method its colour, marker and dash, the same in all pictures."""

    def __init__(self, comparison: Comparison) -> None:
        methods = dict.fromkeys(row.method for row in comparison.rows)
        self._places = {method: place for place, method in enumerate(methods)}

    def colour(self, method: str) -> str:
        """Return a method's colour."""
        return _COLOURS[self._places[method] % len(_COLOURS)]

    def dash(self, method: str) -> str:
        """Return a method's dash."""
        return _DASHES[self._places[method] // len(_COLOURS) % len(_DASHES)]

    def marker(self, method: str) -> str:
        """Return a method's marker."""
        return _MARKERS[self._places[method] % len(_MARKERS)]


def panels(width: float, height: float, count: int, *, side_by_side: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure, by its size in inches, and its panels, which share an axis of time."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window and no state shared with other figures
    rows, columns = (1, count) if side_by_side else (count, 1)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(GREY)
        each.grid(axis="y", color="#DDDDDD", lw=0.6)
        each.set_axisbelow(True)
    return figure, axes


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend above the panels, where it hides nothing, in as many lines as it takes."""
    longest = max(len(str(handle.get_label())) for handle in handles) + 6
    columns = max(1, min(len(handles), int(figure.get_figwidth() * _LETTERS_AN_INCH) // longest))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)


def legend_name(row: SummaryRow) -> str:
    """Return a method's name for the legend, with a word if some of its runs have not ended."""
    return row.name + (" (unfinished)" if row.unfinished else "")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure all at once, in place of an earlier one."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png")
    return path
