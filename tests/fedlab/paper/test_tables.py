"""Every published cost is recomputed, and where it is not the published one, the sources are known to disagree."""

import pytest

from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.figures import published_figures
from fedlab.paper.tables import COST_TABLES, billed, trajectory

FIGURES = published_figures()
SECTIONS = {name: table(FIGURES) for name, table in COST_TABLES.items()}


def cells(name) -> list[PaperCell]:
    return [cell for section in SECTIONS[name] for cell in section.cells]


def of_title(name, part) -> Section:
    return next(section for section in SECTIONS[name] if part in section.title)


def test_all_sixty_hours_of_table_5_come_out_as_printed():
    hours = [cell for section in SECTIONS["table5"] if section.unit == "h" for cell in section.cells]
    assert len(hours) == 60
    assert [(cell.row, cell.column, cell.ours) for cell in hours if not cell.as_printed] == []


def test_hours_of_table_5_are_within_a_percent_or_the_rounding_of_what_is_printed():
    for section in SECTIONS["table5"][:4]:
        for cell in section.cells:
            assert abs(cell.difference) < 0.01 or cell.as_printed


def test_figure_6_comes_out_at_every_bandwidth():
    assert len(cells("figure6")) == 25
    assert [(cell.row, cell.column) for cell in cells("figure6") if not cell.as_printed] == []


def test_figure_7_comes_out_on_every_board():
    assert len(cells("figure7")) == 4 * 5 * 4
    assert all(cell.as_printed for cell in cells("figure7") if cell.column != "heterogeneous")
    assert all(abs(cell.difference) < 5e-4 for cell in cells("figure7"))


def test_the_issues_examples_are_among_them():
    board = of_title("figure7", "20NEWS")
    assert board.at("FT", "jetson-tx2").ours == pytest.approx(43.95175)
    assert board.at("FT", "jetson-nano").ours == pytest.approx(46.2935)
    assert board.at("FT", "rpi-4b").ours == pytest.approx(88.445)
    assert board.at("FTQ", "jetson-tx2").ours == pytest.approx(12.74425)


def test_heterogeneous_is_the_mean_of_the_boards():
    board = of_title("figure7", "20NEWS")
    assert board.at("FT", "heterogeneous").ours == pytest.approx((43.95175 + 46.2935 + 88.445) / 3)


def test_the_energy_comes_out_but_for_the_cell_that_has_another_tasks_batches():
    energy = of_title("table5", "Energy")
    off = [(cell.row, cell.column) for cell in energy.cells if abs(cell.difference) > 1e-4]
    assert off == [("FTQ", "ONTONOTES")]
    # 301 rounds of 20 batches and INT8 both ways: 301 x (12 x 34 + 4 x 219) J.
    assert energy.at("FTQ", "ONTONOTES").ours == pytest.approx(301 * 1284 / 1000)


def test_table_1_is_within_two_percent_but_where_the_sources_disagree():
    off = {cell.row for cell in cells("table1") if abs(cell.difference) > 0.02}
    assert off <= {"bert-base FT", "bert-base adapters", "distilbert-base adapters"}
    ids = {each.id for each in FIGURES.disagreements if "table1" in each.tables}
    assert {"bert-ft-latency", "bert-adapter-latency", "distilbert-latency"} <= ids


def test_table_1s_parameters_are_within_two_percent():
    assert all(abs(cell.difference) < 0.02 for cell in of_title("table1", "parameters").cells)


def test_table_3_is_within_two_percent_where_the_boards_factors_are_not_in_question():
    assert abs(of_title("table3", "Table 3").at("rpi-4b", "seconds a batch").difference) < 0.02
    assert any(each.id == "board-factors" for each in FIGURES.disagreements)


def test_table_2_says_what_a_round_takes_at_each_configuration():
    section = SECTIONS["table2"][0]
    best = section.at("20NEWS", "99%")
    assert best.note == "(2, 64)"
    assert best.ours == pytest.approx(29 * 0.18 + 2 * 4 * (0.02 + 2 * 0.0125 * 8))
    assert best.paper is None


def test_a_trajectory_is_cut_at_the_round_asked_for():
    task = FIGURES.tasks["20news"]
    assert trajectory(task, "AdaFL", 85) == [(80, 0, 8), (85, 2, 8)]
    assert trajectory(task, "AdaFL", 80) == [(80, 0, 8)]
    assert trajectory(task, "LF", 7) == [(7, 2, 0)]


def test_lfq_quantises_to_four_bits_up_to_depth_two():
    two, six = (billed(FIGURES.tasks[key], "LFQ", 1) for key in ("20news", "semeval"))
    assert two.bytes_up == 14_800_000 * 4 // 8
    assert six.bytes_up == 43_100_000 * 4 // 4
