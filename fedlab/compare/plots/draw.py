"""The pictures of a comparison: which there are, and what each is of."""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from fedlab.common.files import refuse_existing
from fedlab.compare.grouping import identity_of, table_of
from fedlab.compare.plots.curves import draw_accuracy
from fedlab.compare.plots.style import Look, save
from fedlab.compare.plots.time_to_accuracy import draw_by_device, draw_by_link
from fedlab.compare.summary import Comparison, SummaryRow


def plot_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw a comparison into a folder, which is made if need be, in place of earlier pictures, and return the files.

    Raises `OSError` if a file cannot be written.
    """
    return _save_all(pictures_of(comparison), folder)


def plot_anew(comparison: Comparison, folder: Path) -> list[Path]:
    """Do as `plot_comparison` does; raises `UserError`, and draws nothing, where one of the files is there already."""
    pictures = pictures_of(comparison)
    for name in pictures:
        refuse_existing(_file(folder, name), "--plots")
    return _save_all(pictures, folder)


def pictures_of(comparison: Comparison) -> dict[str, Figure]:
    """Return the pictures of a comparison by name.

    Accuracy over time is a picture a setting. Time to accuracy by board is drawn where methods were run on several
    fleets, by link where they were run over several links, other things being equal.
    """
    look = Look(comparison)
    pictures = {
        f"accuracy{name}": draw_accuracy(rows, look, comparison.options)
        for name, rows in _alike(comparison, but_for="none")
    }
    for table, what, draw in (("fleet", "device", draw_by_device), ("link", "link", draw_by_link)):
        for name, rows in _alike(comparison, but_for=table):
            if len({identity_of(row.setting_keys) for row in rows}) > 1:
                pictures[f"time-by-{what}{name}"] = draw(comparison, rows, look)
    return pictures


def _save_all(pictures: Mapping[str, Figure], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [save(figure, _file(folder, name)) for name, figure in pictures.items()]


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.png"


def _alike(comparison: Comparison, *, but_for: str) -> Iterator[tuple[str, list[SummaryRow]]]:
    """Yield rows that agree in all of their setting but one table, with what to add to a picture's name."""
    kept = [at for at, key in enumerate(comparison.setting_keys) if table_of(key) != but_for]

    def rest(row: SummaryRow) -> tuple[str, ...]:
        return tuple(row.setting[at] for at in kept)

    for values, rows in groupby(sorted(comparison.rows, key=rest), key=rest):
        yield "".join(f"-{_slug(value)}" for value in values), list(rows)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+_-]+", "", text) or "none"
