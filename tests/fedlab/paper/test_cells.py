"""A cell compares ours with theirs as it is printed."""

import pytest

from fedlab.paper.cells import PaperCell, Section, as_plain


def cell(ours, paper=None, **rest) -> PaperCell:
    return PaperCell(row="FT", column="99%", ours=ours, paper=paper, **rest)


@pytest.mark.parametrize(
    ("ours", "paper", "printed"),
    [(43.95175, 44.0, True), (43.94, 44.0, False), (0.0276, 0.03, True), (0.036, 0.03, False), (12.75, 12.7, True)],
)
def test_as_printed_means_within_half_of_the_last_digit(ours, paper, printed):
    assert cell(ours, paper).as_printed is printed


def test_the_difference_is_relative_to_theirs():
    assert cell(1.7, 1.86).difference == pytest.approx(-0.086, abs=5e-4)


def test_a_cell_without_a_published_figure_has_no_difference():
    assert cell(3.0).difference is None
    assert cell(3.0).as_printed is None


def test_a_cell_that_cannot_be_computed_has_no_difference():
    unknown = cell(None, 4.0, note="not rebuilt")
    assert unknown.difference is None
    assert unknown.as_printed is None


def test_a_section_keeps_the_order_of_its_rows_and_columns():
    cells = tuple(PaperCell(row=row, column=column, ours=1.0) for row in "ba" for column in "yx")
    section = Section(title="t", unit="s", cells=cells)
    assert (section.rows, section.columns) == (["b", "a"], ["y", "x"])
    assert section.at("b", "x") is cells[1]
    assert section.at("b", "z") is None


def test_plain_values_hold_both_figures_and_the_difference():
    (section,) = as_plain([Section(title="t", unit="h", cells=(cell(1.5, 1.0, inferred=True),))])
    assert section["title"] == "t"
    assert section["cells"] == [
        {
            "row": "FT",
            "column": "99%",
            "ours": 1.5,
            "paper": 1.0,
            "relative_difference": 0.5,
            "as_printed": False,
            "inferred": True,
            "note": "",
        }
    ]
