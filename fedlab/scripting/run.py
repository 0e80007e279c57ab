"""Run an experiment from Python, and read what a run has written."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fedlab.common.ending import ResumableCommand
from fedlab.common.machine import uncollected
from fedlab.config.file import dotted_keys, load_experiment
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.results.display import choose_display
from fedlab.results.folder import RunFolder, create, next_free, open_run
from fedlab.results.recorder import Observer
from fedlab.results.records import TrialRecord
from fedlab.results.report import summarise
from fedlab.simulation.which_ray import ray_for

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """What a run has written: open it with `Run.open(folder)`, or get it from `run`.

    Tables are read when they are first asked for; those of a run that still goes on have the rounds so far.
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Open a run folder; raises `UserError` if it is none."""
        return cls(open_run(Path(folder)).path)

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment as resolved."""
        return load_experiment(self._files.experiment)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The results; of a run that has not ended, those so far."""
        files = self._files
        return files.summary() or summarise(files.rounds(), files.trials(), files.clients(), status="unfinished")

    @cached_property
    def rounds(self) -> "pd.DataFrame":
        """A row a round: time, accuracies, costs summed up, the configuration (`configuration.depth`), measures."""
        rows = [_of_round(asdict(record)) for record in self._files.rounds()]
        return _frame(rows, "server_round")

    @cached_property
    def clients(self) -> "pd.DataFrame":
        """A row for each client's part in each round, as in `clients.jsonl`."""
        return _frame([dotted_keys(asdict(record)) for record in self._files.clients()], None)

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """A row for each candidate of each trial of a search, with the trial's winner."""
        rows = [
            dotted_keys({**_of_trial(trial), **asdict(each)})
            for trial in self._files.trials()
            for each in trial.candidates
        ]
        return _frame(rows, None)

    @property
    def accuracy(self) -> float | None:
        """The score of the last model on the test split, None if it was not measured."""
        found: float | None = self.summary["accuracy"]
        return found

    @property
    def plot(self) -> Path:
        """The picture of accuracy against simulated time."""
        return self._files.plot

    @property
    def _files(self) -> RunFolder:
        return RunFolder(self.folder)


def run(
    experiment: Experiment | str | Path,
    *,
    out: str | Path | None = None,
    quiet: bool = False,
    observers: Sequence[Observer] = (),
) -> Run:
    """Run an experiment, or the file of one, on simulated clients.

    `out` is a new run folder, by default `runs/NAME`. Progress is shown live in a terminal and in a notebook, or as
    plain lines if `quiet`. The `observers` are told of clients, rounds and trials as they happen.

    Raises:
        UserError: the experiment names something that does not exist or does not fit, or `out` is in use.
        RunFailedError: the run cannot go on.
        InterruptedRunError: a signal came; the message names the command that resumes the run.
    """
    found = experiment if isinstance(experiment, Experiment) else load_experiment(Path(experiment))
    place = None if out is None else Path(out)
    return Run(Path(run_new(found, place, Console(), plain=quiet, observers=observers)["run_dir"]))


def run_new(
    experiment: Experiment, out: Path | None, console: Console, *, plain: bool, observers: Sequence[Observer] = ()
) -> dict[str, Any]:
    """Run an experiment in a new folder, by default `runs/NAME`, and return the summary; errors as of `run`.

    A folder in which no round has ended is removed if the experiment turns out to be wrong.
    """
    if out is not None and out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        create(out)  # raises before any costly work
    claimed: list[RunFolder] = []

    def claim() -> RunFolder:
        folder = create(out if out is not None else next_free(Path("runs") / experiment.name))
        claimed.append(folder)
        folder.write_experiment(experiment)
        return folder

    try:
        return run_in(experiment, claim, console, plain=plain, observers=observers)
    except UserError:  # such as a link of the user's own, whose mistakes show when it is first called
        for folder in claimed:
            folder.remove_unbegun()
        raise


def run_in(
    experiment: Experiment,
    claim: Callable[[], RunFolder],
    console: Console,
    *,
    plain: bool,
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Run an experiment in the folder that `claim` returns, and return the summary; errors as of `run`."""
    display = choose_display(console, plain=plain, total_rounds=experiment.rounds)
    with ResumableCommand() as command, display, ray_for(experiment.engine, display.on_message) as place:
        # Imported here: it takes seconds, in which the display already shows, and Ray starts.
        with uncollected():
            from fedlab.simulation.simulate import simulate  # noqa: PLC0415

        def begin() -> RunFolder:
            folder = claim()
            command.resumed_by(f"fedlab run --resume {shlex.quote(str(folder.path))}", folder.path)
            return folder

        return simulate(experiment, claim=begin, observers=[display, *observers], place=place)


def _of_trial(trial: TrialRecord) -> dict[str, Any]:
    return {"trial": trial.trial, "winner": trial.winner, "ended_seconds": trial.ended_seconds}


def _of_round(record: dict[str, Any]) -> dict[str, Any]:
    groups = record.pop("groups")
    del record["labels"]
    costs = {name: sum(group[name] for group in groups) for name in ("joules", "bytes_down", "bytes_up", "clients")}
    return dotted_keys(record) | costs


def _frame(rows: list[dict[str, Any]], index: str | None) -> "pd.DataFrame":
    # Imported here: half a second.
    import pandas as pd  # noqa: PLC0415

    frame = pd.DataFrame(rows)
    return frame if index is None or frame.empty else frame.set_index(index)
