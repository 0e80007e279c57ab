"""The figure of the data: the share of each label by client, as a heat map."""

import math
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlab.data.report import ClientLabels

_NAMED_LABELS = 40  # more names than that overlap
_CLIENTS = 500  # more rows than that are thinner than a pixel
_LONGEST_NAME = 24


def plot_label_shares(clients: ClientLabels, path: Path) -> None:
    """Draw a row for each client and a column for each label, with the number of examples beside it.

    Raises `OSError` if the file cannot be written.
    """
    counts = np.array(clients.counts[:_CLIENTS])
    shares = counts / counts.sum(axis=1, keepdims=True)
    rows, columns = shares.shape
    size = (min(12.0, 4.6 + 0.3 * columns), min(10.0, 2.6 + 0.16 * rows))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window and no state shared with other figures
    heat, bars = figure.subplots(1, 2, sharey=True, width_ratios=(max(1.6, 0.3 * columns), 1.4))
    image = heat.imshow(shares, aspect="auto", cmap="viridis", vmin=0.0, vmax=_top(shares), interpolation="nearest")
    figure.colorbar(image, ax=bars, label="share of the client's examples")
    heat.set_ylabel("client" if rows == len(clients.examples) else f"client (the first {rows:,})")
    heat.yaxis.set_major_locator(MaxNLocator(integer=True))
    if columns <= _NAMED_LABELS:
        heat.set_xticks(range(columns), [_short(name) for name in clients.labels], rotation=90, fontsize=7)
    else:
        heat.set_xlabel(f"{columns} labels")
    bars.barh(range(rows), counts.sum(axis=1), height=0.9, color="#8A8A8A")
    bars.set_xlabel("examples")
    bars.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _top(shares: np.ndarray) -> float:
    """Return the end of the colour scale: the largest share, rounded up to a tenth."""
    return max(0.1, math.ceil(float(shares.max()) * 10 - 1e-9) / 10)


def _short(name: str) -> str:
    shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
    return shown.replace("$", r"\$")  # a pair of them would be read as a formula
