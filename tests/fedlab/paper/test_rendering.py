"""Reproduced tables say ours, theirs and the difference in a cell."""

import io

from rich.console import Console

from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.figures import Disagreement
from fedlab.paper.rendering import render_disagreements, render_sections


def shown(renderable) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(renderable)
    return console.file.getvalue()


def test_a_cell_shows_both_figures_and_the_difference():
    cells = (
        PaperCell(row="FT", column="99%", ours=43.95175, paper=44.0),
        PaperCell(row="FT", column="95%", ours=23.39, paper=23.4, inferred=True),
        PaperCell(row="LF", column="99%", ours=6.98, note="(2, 64)"),
    )
    text = shown(render_sections([Section(title="Hours", unit="h", cells=cells)]))
    assert "43.95 / 44  -0.1%" in text
    assert "23.39* / 23.4" in text
    assert "(2, 64) 6.98" in text
    assert "inferred" in text
    assert text.split("LF")[1].split()[-1] != "95%"


def test_a_cell_that_cannot_be_computed_shows_why_and_the_published_figure():
    cells = (
        PaperCell(row="FT", column="h", ours=None, paper=4.5, note="not rebuilt"),
        PaperCell(row="LF", column="h", ours=None, note="never"),
    )
    lines = shown(render_sections([Section(title="Hours", unit="h", cells=cells)])).splitlines()
    assert any("not rebuilt / 4.5" in line for line in lines)
    assert any(line.split() == ["LF", "never"] for line in lines)


def test_nothing_is_said_of_inference_where_there_is_none():
    section = Section(title="Hours", unit="h", cells=(PaperCell(row="FT", column="99%", ours=1.0, paper=1.0),))
    assert "inferred" not in shown(render_sections([section]))


def test_disagreements_are_told_with_whom_ours_follows():
    each = Disagreement(id="x", tables=("table1",), what="Table 1 says 1.86", ours="the artifact")
    text = shown(render_disagreements([each]))
    assert "Table 1 says 1.86" in text
    assert "the artifact" in text
