"""The display of a run in the terminal: a live screen, plain lines, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fedlab.common.units import human_seconds, human_share
from fedlab.results.configuration import axis_names, cell, describe
from fedlab.results.records import ClientRecord, GroupRecord, RoundRecord, StepRecord, TrialRecord
from fedlab.workload.workload import Configuration

_TRIALS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class GroupProgress:
    """The progress of one group since the trial began or, without trials, since the run began."""

    group: str
    configuration: Configuration
    rounds: int = 0
    seconds: float = 0.0
    failures: int = 0
    train_loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the live screen shows. The budget of a trial is known when the trial has ended."""

    server_round: int = 0
    simulated_seconds: float = 0.0
    configuration: Configuration | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    trial: int | None = None
    budget_seconds: float | None = None
    groups: tuple[GroupProgress, ...] = ()
    trials: tuple[TrialRecord, ...] = ()


class QuietDisplay:
    """Shows nothing. An observer that is also a context manager: a live screen is shown within `with`."""

    def __enter__(self) -> Self:
        """Start to show."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the terminal, also after an error."""

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Show nothing: the round's groups are shown instead."""

    def on_round(self, record: RoundRecord) -> None:
        """Show a round that has ended."""

    def on_trial(self, record: TrialRecord) -> None:
        """Show a trial that has ended."""

    def on_step(self, record: StepRecord) -> None:
        """Show nothing: the accuracy of rounds tells what steps come to."""

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Show a message."""


class PlainDisplay(QuietDisplay):
    """Prints a line for each round and each trial, for pipes and logs."""

    def __init__(self, console: Console, total_rounds: int | None) -> None:
        self._console = console
        self._total_rounds = total_rounds

    def on_round(self, record: RoundRecord) -> None:
        """Print one line."""
        self.on_message(round_line(record, self._total_rounds))

    def on_trial(self, record: TrialRecord) -> None:
        """Print one line."""
        self.on_message(trial_line(record))

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Print the text without wrapping or markup."""
        self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


class LiveDisplay(QuietDisplay):
    """Keeps a screen of the run up to date; messages scroll above it.

    Events change only what is to be shown. One thread draws it, four times a second, so a burst of short rounds neither
    flickers nor waits for the terminal.
    """

    def __init__(self, console: Console, total_rounds: int | None) -> None:
        self._console = console
        self._total_rounds = total_rounds
        self._progress = Progress()
        self._spinner = Spinner("dots")
        self._live = Live(self._screen(self._spinner), console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Start to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the last state and leave it on the terminal."""
        self._live.update(self._screen(Text(" ")))
        self._live.stop()

    def on_round(self, record: RoundRecord) -> None:
        """Add the round to the next drawing."""
        self._show(after_round(self._progress, record))

    def on_trial(self, record: TrialRecord) -> None:
        """Add the trial to the next drawing."""
        self._show(after_trial(self._progress, record))

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Print above the screen."""
        self._console.print(text, markup=False, highlight=False, emoji=False)

    def _show(self, progress: Progress) -> None:
        self._progress = progress
        self._live.update(self._screen(self._spinner))

    def _screen(self, pulse: RenderableType) -> RenderableType:
        header = Table.grid(padding=(0, 1))
        header.add_row(pulse, render_header(self._progress, self._total_rounds))
        return Group(header, render_groups(self._progress), render_outcomes(self._progress.trials))


def choose_display(console: Console, *, plain: bool, total_rounds: int | None) -> QuietDisplay:
    """Return the display for a console: live on a terminal, plain lines elsewhere or if `plain`."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainDisplay(console, total_rounds)
    return LiveDisplay(console, total_rounds)


def after_round(progress: Progress, record: RoundRecord) -> Progress:
    """Return the progress after a round; the first round of a trial resets the groups."""
    fresh = record.trial != progress.trial
    groups = {} if fresh else {group.group: group for group in progress.groups}
    groups |= {group.group: _after_part(groups.get(group.group), group) for group in record.groups}
    validation, test = record.validation_accuracy, record.test_accuracy
    return replace(
        progress,
        server_round=record.server_round,
        simulated_seconds=record.simulated_seconds,
        configuration=record.configuration,
        validation_accuracy=progress.validation_accuracy if validation is None else validation,
        test_accuracy=progress.test_accuracy if test is None else test,
        trial=record.trial,
        budget_seconds=record.budget_seconds if fresh else progress.budget_seconds,
        groups=tuple(groups.values()),
    )


def after_trial(progress: Progress, record: TrialRecord) -> Progress:
    """Return the progress after a trial; its groups are shown until the first round of the next one."""
    return replace(
        progress,
        simulated_seconds=record.ended_seconds,
        configuration=record.configuration,
        budget_seconds=record.budget_seconds,
        trials=(*progress.trials, record)[-_TRIALS_SHOWN:],
    )


def round_line(record: RoundRecord, total_rounds: int | None) -> str:
    """Return a round as one line of text."""
    parts = [_round_of(record.server_round, total_rounds), human_seconds(record.simulated_seconds)]
    if record.trial is not None:
        parts.append(f"trial {record.trial}")
    parts.append(describe(record.configuration))
    losses = [f"{group.group} {_loss(group.train_loss)}" for group in record.groups]
    parts.append(f"loss {', '.join(losses)}" if losses else "no client")
    if failures := sum(group.failures for group in record.groups):
        parts.append(f"{failures} failed")
    for name, share in (("validation", record.validation_accuracy), ("test", record.test_accuracy)):
        if share is not None:
            parts.append(f"{name} {human_share(share)}")
        if (perplexity := record.measures.get(name, {}).get("perplexity")) is not None:
            parts[-1] += f" (perplexity {perplexity:.4g})"
    return "  ".join(parts)


def trial_line(record: TrialRecord) -> str:
    """Return a trial's outcome as one line of text."""
    reached = ", ".join(f"{each.group} {human_share(each.validation_accuracy)}" for each in record.candidates)
    outcome = f"{record.winner} wins, {describe(record.configuration)}"
    return f"trial {record.trial}  {human_seconds(record.ended_seconds)}  {outcome}  ({reached})"


def render_header(progress: Progress, total_rounds: int | None) -> RenderableType:
    """Return the state of the run, in two lines."""
    where = [_round_of(progress.server_round, total_rounds), f"{human_seconds(progress.simulated_seconds)} simulated"]
    if progress.trial is not None:
        where.insert(1, f"trial {progress.trial}")
    model = [f"validation {human_share(progress.validation_accuracy)}", f"test {human_share(progress.test_accuracy)}"]
    if progress.configuration:
        model.insert(0, describe(progress.configuration))
    return Group(Text(" · ".join(where), style="bold"), Text(" · ".join(model)))


def render_groups(progress: Progress) -> RenderableType:
    """Return the groups side by side, one column each."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for group in progress.groups:
        table.add_column(group.group, justify="right", min_width=12)
    if axes := axis_names(group.configuration for group in progress.groups):
        table.add_row(", ".join(axes), *(_cells(group, axes) for group in progress.groups))
    table.add_row("rounds", *(str(group.rounds) for group in progress.groups))
    table.add_row("elapsed", *(human_seconds(group.seconds) for group in progress.groups))
    if progress.trial is not None:
        budget = "-" if progress.budget_seconds is None else human_seconds(progress.budget_seconds)
        table.add_row("budget", *(budget for _ in progress.groups))
    table.add_row("train loss", *(_loss(group.train_loss) for group in progress.groups))
    table.add_row(
        "failures", *(Text(str(group.failures), "red" if group.failures else "") for group in progress.groups)
    )
    return table if progress.groups else Text("waiting for the first round", style="dim")


def render_outcomes(trials: Sequence[TrialRecord]) -> RenderableType:
    """Return the trials that ended last, one line each, the latest first."""
    return Group(*(Text(trial_line(trial), style="dim", overflow="ellipsis", no_wrap=True) for trial in trials[::-1]))


def _after_part(before: GroupProgress | None, part: GroupRecord) -> GroupProgress:
    start = before or GroupProgress(group=part.group, configuration=part.configuration)
    return GroupProgress(
        group=part.group,
        configuration=part.configuration,
        rounds=start.rounds + 1,
        seconds=start.seconds + part.seconds,
        failures=start.failures + part.failures,
        train_loss=start.train_loss if part.train_loss is None else part.train_loss,
    )


def _cells(group: GroupProgress, axes: Sequence[str]) -> str:
    return ", ".join(cell(group.configuration, axis) for axis in axes)


def _round_of(server_round: int, total_rounds: int | None) -> str:
    return f"round {server_round}" if total_rounds is None else f"round {server_round}/{total_rounds}"


def _loss(train_loss: float | None) -> str:
    return "-" if train_loss is None else f"{train_loss:.3f}"
