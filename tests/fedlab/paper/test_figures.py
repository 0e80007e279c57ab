"""The published figures are whole, and what is inferred of them follows the rule it is said to follow."""

from itertools import pairwise

import pytest

from fedlab.paper.figures import METHODS, SHARES, Hours, PaperTask, published_figures
from fedlab.paper.names import Reproducible
from fedlab.paper.tables import billed

FIGURES = published_figures()
CELLS = [
    pytest.param(row, place, id=f"{row.task}-{row.method}-{share:.0%}")
    for row in FIGURES.table5
    for place, share in enumerate(SHARES)
]


def measured_after(task: PaperTask, row: Hours, share: float) -> list[int]:
    """Return the numbers of rounds, counted from 1, after which a method's model was measured, below the target yet."""
    if row.method != "AdaFL":
        often = row.method in ("FT", "FTQ") and row.task in ("agnews", "semeval")
        return list(range(1, 1600, 5 if often else 10))
    ends = [0, *(last for last, _, _ in task.segments)]
    target = share * task.full_accuracy
    trial = next(place for place, accuracy in enumerate(task.accuracy_at_end) if accuracy > target)
    first, last = ends[trial], ends[trial + 1]
    return [*([first] if first else []), *range(first + 1, last, 10)]


def hours(row: Hours, rounds: int) -> float:
    task = FIGURES.tasks[row.task]
    return billed(task, row.method, rounds, sequence_length=row.billed_sequence_length).hours


def test_every_method_has_a_row_for_every_task():
    assert {(row.task, row.method) for row in FIGURES.table5} == {(key, m) for key in FIGURES.tasks for m in METHODS}
    assert set(FIGURES.table2) == set(FIGURES.tasks)


@pytest.mark.parametrize("key", FIGURES.tasks)
def test_trajectories_rise_and_have_an_accuracy_a_segment(key):
    task = FIGURES.tasks[key]
    last_rounds = [last for last, _, _ in task.segments]
    assert all(later > earlier for earlier, later in pairwise([0, *last_rounds]))
    assert len(task.segments) == len(task.accuracy_at_end)
    assert all(later >= earlier for (_, earlier, _), (_, later, _) in pairwise(task.segments))


@pytest.mark.parametrize(("row", "place"), [cell for cell in CELLS if cell.values[0].inferred[cell.values[1]]])
def test_inferred_rounds_come_nearest_to_the_printed_hours(row, place):
    candidates = measured_after(FIGURES.tasks[row.task], row, SHARES[place])
    paper, said = row.hours[place], row.rounds[place]
    assert said in candidates
    nearest = min(candidates, key=lambda rounds: abs(hours(row, rounds) - paper))
    assert said == nearest


@pytest.mark.parametrize(("row", "place"), [cell for cell in CELLS if cell.values[0].method != "AdaFL"])
def test_the_rounds_of_a_baseline_are_those_of_a_measurement(row, place):
    assert row.rounds[place] in measured_after(FIGURES.tasks[row.task], row, SHARES[place])


def test_disagreements_name_tables_there_are():
    names = [each.id for each in FIGURES.disagreements]
    assert len(set(names)) == len(names)
    assert {table for each in FIGURES.disagreements for table in each.tables} <= set(Reproducible.__args__)


def test_adafl_on_ontonotes_is_billed_for_a_quarter_of_its_tokens():
    row = next(row for row in FIGURES.table5 if (row.task, row.method) == ("ontonotes", "AdaFL"))
    in_full = [billed(FIGURES.tasks["ontonotes"], "AdaFL", rounds).hours for rounds in row.rounds]
    assert [round(each, 1) for each in in_full] == [10.4, 5.8, 3.2]
    assert [hours(row, rounds) for rounds in row.rounds] == pytest.approx(row.hours, rel=0.01)
