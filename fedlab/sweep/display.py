"""The progress of a sweep: bars on a terminal, one line for each cell elsewhere."""

from collections.abc import Sequence
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from fedlab.common.clock import stopwatch
from fedlab.common.units import human_seconds
from fedlab.sweep.folder import CellState
from fedlab.sweep.work import CellAction

_DOING: dict[CellAction, str] = {"train": "training", "resume": "resuming", "reprice": "repricing"}


class SweepProgress:
    """The share of the training that is done, and an estimate of the time left. Used by several threads."""

    def __init__(self) -> None:
        self._elapsed = stopwatch()
        self._trainings = 0
        self._done = 0
        self._rounds: dict[str, int | None] = {}
        self._shares: dict[str, float] = {}

    def plan(self, trainings: int) -> None:
        """Begin with the number of cells to train."""
        self._trainings = trainings

    def start(self, cell: str, how: CellAction, rounds: int | None) -> None:
        """Note that a cell starts."""
        if how != "reprice":
            self._rounds[cell], self._shares[cell] = rounds, 0.0

    def advance(self, cell: str, server_round: int) -> None:
        """Note a round; a cell without a number of rounds has no known progress."""
        rounds = self._rounds.get(cell)
        self._shares[cell] = min(1.0, server_round / rounds) if rounds else 0.0

    def end(self, cell: str) -> None:
        """Note that a cell has ended."""
        self._done += self._shares.pop(cell, None) is not None

    def left(self) -> str:
        """Return the time left as text, empty while it is unknown."""
        done = self._done + sum(self._shares.values())
        rest = self._trainings - done
        if done <= 0 or rest <= 0:
            return ""
        return f"about {human_seconds(self._elapsed() * rest / done)} left"


class PlainSweepDisplay:
    """Prints a line when a cell starts and one when it ends."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._lock = Lock()
        self._progress = SweepProgress()
        self._total = self._ended = 0

    def __enter__(self) -> Self:
        """Start the display."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal, also after an error."""

    def on_plan(self, cells: Sequence[CellState], trainings: int) -> None:
        """Print the plan of the sweep."""
        self._progress.plan(trainings)
        self._total, self._ended = len(cells), sum(cell.status == "finished" for cell in cells)
        self._say(plan_line(cells, trainings))

    def on_start(self, cell: str, how: CellAction, rounds: int | None) -> None:
        """Print that a cell is trained or resumed; repricing is too quick to announce."""
        with self._lock:
            self._progress.start(cell, how, rounds)
        if how != "reprice" and not self._quiet:
            self._say(f"{cell}: {_DOING[how]}")

    def on_round(self, cell: str, server_round: int) -> None:
        """Note the progress of a cell."""
        with self._lock:
            self._progress.advance(cell, server_round)

    def on_end(self, state: CellState) -> None:
        """Print how a cell ended, and the time left."""
        with self._lock:
            self._progress.end(state.name)
            self._ended += 1
            line = f"[{self._ended}/{self._total}] {end_line(state)}"
            left = self._progress.left()
        self._say(f"{line}; {left}" if left else line)

    def on_message(self, text: str) -> None:
        """Print a message."""
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


class LiveSweepDisplay(PlainSweepDisplay):
    """Shows a bar for all cells and one for each running cell; ended cells scroll by above them."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, quiet=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[where]}"))
        self._bars = Progress(*columns, console=console)
        self._all: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Start to draw."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the terminal."""
        self._bars.stop()

    def on_plan(self, cells: Sequence[CellState], trainings: int) -> None:
        """Draw the bar of all cells."""
        super().on_plan(cells, trainings)
        where = f"{self._ended}/{self._total}"
        self._all = self._bars.add_task("all cells", total=self._total, completed=self._ended, where=where)

    def on_start(self, cell: str, how: CellAction, rounds: int | None) -> None:
        """Draw a bar for a cell that trains."""
        super().on_start(cell, how, rounds)
        if how != "reprice":
            self._tasks[cell] = self._bars.add_task(cell, total=rounds, where=_DOING[how])

    def on_round(self, cell: str, server_round: int) -> None:
        """Advance a cell's bar."""
        super().on_round(cell, server_round)
        self._bars.update(self._tasks[cell], completed=server_round, where=f"round {server_round}")
        self._update_all()

    def on_end(self, state: CellState) -> None:
        """Remove a cell's bar."""
        super().on_end(state)
        if state.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(state.name))
        self._update_all()

    def _update_all(self) -> None:
        assert self._all is not None, "the plan comes first"
        with self._lock:
            where = "  ".join(part for part in (f"{self._ended}/{self._total}", self._progress.left()) if part)
        self._bars.update(self._all, completed=self._ended, where=where)


def choose_sweep_display(console: Console, *, plain: bool) -> PlainSweepDisplay:
    """Return the display for a console: live on a terminal, plain lines elsewhere or on request."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainSweepDisplay(console, quiet=plain)
    return LiveSweepDisplay(console)


def plan_line(cells: Sequence[CellState], trainings: int) -> str:
    """Return the plan of a sweep as one line of text."""
    done = sum(cell.status == "finished" for cell in cells)
    if done == len(cells):
        return f"{len(cells)} cells: all done"
    rest = len(cells) - done - trainings
    parts = [f"{done} done", f"{trainings} to train"] + ([f"{rest} to reprice from others"] if rest > 0 else [])
    return f"{len(cells)} cells: {', '.join(parts)}"


def end_line(state: CellState) -> str:
    """Return how a cell ended as one line of text."""
    if state.status == "failed":
        return f"{state.name}: failed: {state.reason}"
    return f"{state.name}: " + (f"repriced from {state.repriced_from}" if state.repriced_from else "done")
