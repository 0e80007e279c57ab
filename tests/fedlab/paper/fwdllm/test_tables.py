"""FwdLLM's published minutes, gigabytes and ratios follow from its counts, and the document says how nearly."""

from pathlib import Path
from typing import get_args

import pytest

from fedlab.estimate.fwdllm.bill import bill
from fedlab.paper.cells import PaperCell
from fedlab.paper.fwdllm.billed import after_rounds, minutes, slot_of
from fedlab.paper.fwdllm.figures import fwdllm_figures
from fedlab.paper.fwdllm.pacing import scheduled
from fedlab.paper.fwdllm.tables import FWDLLM_TABLES
from fedlab.paper.names import FwdllmTable

DOC = Path(__file__).parents[4] / "docs" / "results" / "fwdllm-paper.md"
FIGURES = fwdllm_figures()
AGNEWS = FIGURES.tasks["AGNEWS"]
TRANSFER_SECONDS = 4 * 450_340 / 1_310_720  # of DistilBERT's adapters
COMPARED = {
    "fwdllm-time": 12 * 6 - 1 + 3 + 4 + 8 + 3, "fwdllm-energy": 0, "fwdllm-network": 0,
    "fwdllm-memory": 3 * 5 + 5 + 1 + 5, "fwdllm-pacing": 1 + 3 + 5 + 6 + 3 + 5, "fwdllm-scaling": 2 * 6,
}  # fmt: skip


def cells_of(name: str, figures=FIGURES) -> list[PaperCell]:
    return [cell for section in FWDLLM_TABLES[name](figures) for cell in section.cells]


def cell_of(name: str, row: str, column: str, figures=FIGURES) -> PaperCell:
    [found] = [cell for cell in cells_of(name, figures) if (cell.row, cell.column) == (row, column)]
    return found


def errors_of(name: str) -> list[float]:
    return [cell.difference for cell in cells_of(name) if cell.difference is not None]


def test_every_table_that_can_be_asked_for_is_made():
    assert set(FWDLLM_TABLES) == set(get_args(FwdllmTable)) == set(COMPARED)


@pytest.mark.parametrize("name", FWDLLM_TABLES)
def test_every_published_figure_is_met_to_1_percent_and_memory_to_20(name):
    errors = errors_of(name)
    assert len(errors) == COMPARED[name]
    assert max(map(abs, errors), default=0) <= (0.2 if name == "fwdllm-memory" else 0.01)


def test_what_cannot_be_rebuilt_or_is_never_reached_is_marked_and_nothing_else_is():
    missing = [
        (cell.row, cell.column, cell.note) for name in FWDLLM_TABLES for cell in cells_of(name) if cell.ours is None
    ]
    unknown = {(row, column) for row, column, note in missing if note == "not rebuilt"}
    assert unknown == {
        ("INT4 on a CPU", "h"),
        ("INT4 on an NPU, emulated", "h"),
        ("FwdLLM, the README", "llama-7b"),
        *(("1, 3, 5, 10 each", share) for share in ("100%", "90%", "80%", "60%")),
    }
    never = {(row, column) for row, column, note in missing if note == "never"}
    assert {("roberta-large YAHOO 0.65", "FT"), ("albert-base", "YAHOO"), ("10", "60%"), ("30", "90%")} <= never
    assert len(missing) == len(unknown) + len(never)


def test_minutes_follow_the_counts_and_not_the_published_minutes():
    target = next(each for each in FIGURES.targets if each.name == "bert-base AGNEWS")
    changed = target.model_copy(
        update={"evaluations": {method: 2 * count for method, count in target.evaluations.items()}}
    )
    no_ratios = FIGURES.speedups.model_copy(update={"full": {}})
    figures = FIGURES.model_copy(update={"targets": (changed,), "speedups": no_ratios})
    for column in ("FT", "adapter", "BitFit", "FedAdapter", "FwdLLM (NPU)", "FwdLLM (GPU)"):
        usual = cell_of("fwdllm-time", "bert-base AGNEWS 0.875", column)
        doubled = cell_of("fwdllm-time", "bert-base AGNEWS 0.875", column, figures)
        assert doubled.ours == pytest.approx(2 * usual.ours)
        assert doubled.paper == usual.paper


def inferred():
    """Yield the name of an inferred count, the minutes it is inferred from, the count, and the minutes of counts."""
    forward = slot_of("distilbert-base", "forward", AGNEWS)
    for each in FIGURES.global_ps:
        for share, paper in each.minutes.items():
            yield f"Global-PS {each.perturbations} {share}", paper, each.rounds[share], (
                lambda rounds, v=each.perturbations: minutes(after_rounds(forward, rounds, v))
            )  # fmt: skip
    for method, published in FIGURES.scaling.minutes.items():
        slot = slot_of("distilbert-base", method, AGNEWS)
        for place, paper in enumerate(published):
            rounds = FIGURES.scaling.rounds[method][place]
            yield f"{method} {place}", paper, rounds, lambda rounds, slot=slot: minutes(after_rounds(slot, rounds))


@pytest.mark.parametrize("case", [pytest.param(each[1:], id=each[0]) for each in inferred()])
def test_inferred_rounds_come_nearest_to_the_published_minutes(case):
    paper, said, of = case
    assert said == min(range(1, 60), key=lambda rounds: abs(of(rounds) - paper))


@pytest.mark.parametrize("table", ["fwdllm-time", "fwdllm-pacing"])
def test_inferred_rounds_of_skew_and_sampling_are_at_most_half_a_round_off(table):
    names = {"forward": "FwdLLM", "adapter": "adapter", "bitfit": "BitFit"}
    counts = {each.kept: (each.rounds,) for each in FIGURES.sampling}
    counts |= {f"{each.backbone} {each.accuracy:g}, {names[each.method]}": each.rounds for each in FIGURES.skew}
    checked = [cell for cell in cells_of(table) if cell.inferred and cell.row in counts]
    assert len(checked) == (8 if table == "fwdllm-time" else 5)
    for cell in checked:
        assert cell.ours is not None
        rounds = counts[cell.row][-1 if cell.column == "non-IID" else 0]
        assert abs(cell.ours - cell.paper) <= cell.ours / rounds / 2


def test_the_schedule_is_billed_where_a_whole_number_of_rounds_gives_its_minutes_to_1_percent():
    segments, slot = FIGURES.schedule.segments, slot_of("distilbert-base", "forward", AGNEWS)
    of = {rounds: minutes(bill(scheduled(segments, rounds), slot)) for rounds in range(1, 60)}
    nearest = {
        share: min(of, key=lambda rounds, paper=paper: abs(of[rounds] - paper))
        for share, paper in FIGURES.schedule.minutes.items()
    }
    within = {
        share: rounds
        for share, rounds in nearest.items()
        if abs(of[rounds] / FIGURES.schedule.minutes[share] - 1) <= 0.01
    }
    assert within == FIGURES.schedule.rounds


def test_the_energy_is_that_of_computing_and_of_transfers():
    [found] = [cell for cell in cells_of("fwdllm-energy") if "NPU" in cell.row and cell.column == "a client"]
    computing, transfers = 829 * 0.3085584, 24 * 15 * TRANSFER_SECONDS
    assert found.ours == pytest.approx((5.2817 * computing + 4 * transfers) / 1e3)
    [full] = [cell for cell in cells_of("fwdllm-energy") if cell.row.startswith("FT") and cell.column == "100 clients"]
    both_ways = 4 * 15 * 2 * 4 * 66_365_956 / 1_310_720
    assert full.ours == pytest.approx(100 * (5.2817 * 4 * 15 * 6.939 + 4 * both_ways) / 1e3)


def test_the_traffic_is_one_way_for_forward_and_both_ways_for_backpropagation():
    forward, full = (
        next(cell.ours for cell in cells_of("fwdllm-network") if cell.row.startswith(name)) for name in ("FwdLLM", "FT")
    )
    assert forward == pytest.approx(17 * 15 * 4 * 450_340 / 1024**3)
    assert full == pytest.approx(2 * 4 * 15 * 4 * 66_365_956 / 1024**3)


def test_clients_share_the_perturbations_of_a_step():
    many = cell_of("fwdllm-scaling", "FwdLLM (NPU)", "500")
    assert many.ours == pytest.approx(20 * 15 * (2 * 0.3085584 + TRANSFER_SECONDS) / 60)
    alone = cell_of("fwdllm-scaling", "FwdLLM (NPU)", "1")
    assert alone.ours == pytest.approx(24 * 15 * (300 * 0.3085584 + TRANSFER_SECONDS) / 60)


def test_quirks_name_tables_there_are():
    assert {table for each in FIGURES.disagreements for table in each.tables} == set(FWDLLM_TABLES)


# --- the table of the document ------------------------------------------------------------------------------------


def document_lines() -> list[str]:
    lines = []
    for name in FWDLLM_TABLES:
        cells, errors = cells_of(name), errors_of(name)
        missing = sum(cell.ours is None and cell.paper is not None for cell in cells)
        worst = f"{100 * max(map(abs, errors)):.1f}%" if errors else "-"
        lines.append(f"| `{name}` | {len(errors)} | {worst} | {missing or '-'} |")
    return lines


def test_the_document_shows_the_largest_error_of_every_table():
    text = DOC.read_text(encoding="utf-8").splitlines()
    assert [line for line in document_lines() if line not in text] == []
