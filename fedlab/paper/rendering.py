"""Render reproduced tables: a cell has our figure, the published one and the difference."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.figures import Disagreement

_COMPARED = "ours / published, relative difference"
_INFERRED = "; * after an inferred number of rounds"


def render_sections(sections: Iterable[Section]) -> RenderableType:
    """Return the tables, one below the other."""
    return Group(*(_table(section) for section in sections))


def render_disagreements(disagreements: Iterable[Disagreement]) -> RenderableType:
    """Return the contradictions between sources, and which source we follow."""
    table = Table(title="Where the sources disagree", title_justify="left", box=box.SIMPLE_HEAD, show_lines=True)
    for name in ("what", "ours"):
        table.add_column(name, overflow="fold")
    for each in disagreements:
        table.add_row(each.what, each.ours)
    return table


def _table(section: Section) -> Table:
    inferred = any(cell.inferred for cell in section.cells)
    compared = any(cell.paper is not None for cell in section.cells)
    table = Table(
        title=f"{section.title} ({section.unit})",
        title_justify="left",
        caption=f"{_COMPARED if compared else ''}{_INFERRED if inferred else ''}" or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for column in section.columns:
        table.add_column(column, justify="right")
    for row in section.rows:
        table.add_row(row, *(_cell(section.at(row, column)) for column in section.columns))
    return table


def _cell(cell: PaperCell | None) -> Text:
    if cell is None:
        return Text("-")
    if cell.ours is None:
        return Text(cell.note if cell.paper is None else f"{cell.note} / {_figure(cell.paper)}")
    ours = f"{cell.note} {_figure(cell.ours)}".strip() + ("*" if cell.inferred else "")
    if cell.paper is None or cell.difference is None:
        return Text(ours)
    return Text(f"{ours} / {_figure(cell.paper)}  {cell.difference:+.1%}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
