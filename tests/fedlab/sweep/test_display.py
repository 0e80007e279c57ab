import io

import pytest
from rich.console import Console

from fedlab.sweep.display import (
    LiveSweepDisplay,
    PlainSweepDisplay,
    SweepProgress,
    choose_sweep_display,
    end_line,
    plan_line,
)
from fedlab.sweep.folder import CellState

WAITING = [CellState(name=name, status="waiting") for name in ("a", "b", "c")]


@pytest.fixture
def progress(monkeypatch):
    """Return a progress whose stopwatch shows what the test says."""
    monkeypatch.setattr("fedlab.sweep.display.stopwatch", lambda: lambda: 60.0)
    return SweepProgress()


def played(display):
    """Let a sweep of three cells pass: one trained, one failing, one repriced."""
    with display:
        display.on_plan(WAITING, 2)
        display.on_start("a", "train", 4)
        display.on_round("a", 1)
        display.on_round("a", 4)
        display.on_end(CellState(name="a", status="finished"))
        display.on_start("b", "resume", None)
        display.on_round("b", 3)
        display.on_end(CellState(name="b", status="failed", reason="nobody replied"))
        display.on_start("c", "reprice", None)
        display.on_message("c: something")
        display.on_end(CellState(name="c", status="finished", repriced_from="a"))


def test_nobody_knows_how_long_it_takes_before_the_first_round(progress):
    progress.plan(2)
    progress.start("a", "train", 4)

    assert progress.left() == ""


def test_the_rest_takes_as_long_as_what_is_done_at_its_pace(progress):
    progress.plan(3)
    progress.start("a", "train", 4)
    progress.advance("a", 2)
    assert progress.left() == "about 5.00 min left"  # half of one of three in a minute

    progress.end("a")
    assert progress.left() == "about 2.00 min left"


def test_repricing_does_not_count_as_training(progress):
    progress.plan(2)
    progress.start("a", "reprice", None)
    progress.end("a")

    assert progress.left() == ""


def test_how_far_a_cell_without_a_number_of_rounds_is_nobody_knows(progress):
    progress.plan(2)
    progress.start("a", "train", None)
    progress.advance("a", 7)

    assert progress.left() == ""


def test_nothing_is_left_when_all_is_done(progress):
    progress.plan(1)
    progress.start("a", "train", 1)
    progress.end("a")

    assert progress.left() == ""


def test_on_a_pipe_there_is_a_line_for_each_start_and_each_end(progress):
    console = Console(file=io.StringIO(), width=40)

    played(PlainSweepDisplay(console, quiet=False))

    lines = console.file.getvalue().splitlines()
    assert lines == [
        "3 cells: 0 done, 2 to train, 1 to reprice from others",
        "a: training",
        "[1/3] a: done; about 1.00 min left",
        "b: resuming",
        "[2/3] b: failed: nobody replied",
        "c: something",
        "[3/3] c: repriced from a",
    ]


def test_quietly_there_is_a_line_for_each_end(progress):
    console = Console(file=io.StringIO(), width=40)

    played(PlainSweepDisplay(console, quiet=True))

    assert "training" not in console.file.getvalue()
    assert len(console.file.getvalue().splitlines()) == 5


def test_on_a_terminal_bars_show_the_rounds_of_the_cell_that_runs(progress):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    display = LiveSweepDisplay(console)

    played(display)

    text = console.file.getvalue()
    assert "all cells" in text
    assert "3/3" in text
    assert "[2/3] b: failed: nobody replied" in text


def test_the_display_suits_the_console():
    pipe, terminal = Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)

    assert type(choose_sweep_display(pipe, plain=False)) is PlainSweepDisplay
    assert type(choose_sweep_display(terminal, plain=True)) is PlainSweepDisplay


def test_the_plan_is_told_in_a_line():
    done = [CellState(name="a", status="finished")]

    assert plan_line(done, 0) == "1 cells: all done"
    assert plan_line([*done, *WAITING], 3) == "4 cells: 1 done, 3 to train"


def test_an_end_is_told_in_a_line():
    assert end_line(CellState(name="a", status="finished")) == "a: done"
