"""Observers that cannot stop the run they are told of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlab.common.short_text import raised
from fedlab.config.guard import where
from fedlab.results.recorder import Observer
from fedlab.results.records import ClientRecord, RoundRecord, StepRecord, TrialRecord
from fedlab.results.trackers.base import TrackedRun

Tell = Callable[[str], object]


class GuardedObserver:
    """Passes on what is told until the observer fails; then says so in one line, and passes on nothing more.

    An observer need not have all methods: it is told what it has a method for.
    """

    def __init__(self, observer: object, name: str, tell: Tell) -> None:
        self._observer, self._name, self._tell = observer, name, tell
        self._listens = True

    def on_start(self, run: TrackedRun) -> None:
        """Pass on that the run begins, or goes on."""
        self._pass_on("on_start", run)

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Pass on a round's clients."""
        self._pass_on("on_clients", records)

    def on_round(self, record: RoundRecord) -> None:
        """Pass on a round."""
        self._pass_on("on_round", record)

    def on_trial(self, record: TrialRecord) -> None:
        """Pass on a trial."""
        self._pass_on("on_trial", record)

    def on_step(self, record: StepRecord) -> None:
        """Pass on an exchange."""
        self._pass_on("on_step", record)

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Pass on a message."""
        self._pass_on("on_message", text, detail)

    def on_end(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Pass on the end of the run, once."""
        self._pass_on("on_end", summary, files)
        self._listens = False

    def _pass_on(self, method: str, *told: Any) -> None:
        heard = getattr(self._observer, method, None) if self._listens else None
        if heard is None:
            return
        try:
            heard(*told)
        except (Exception, SystemExit) as error:  # whatever code that is not ours raises must not end the run
            self._listens = False
            what = f"{method}: {raised(error)}{where(error)}"
            self._tell(f"tracker {self._name} failed in {what}; it is told nothing more, and the run goes on")


class Tracking:
    """The observers of a run that cannot stop it; `ended` tells them of its results."""

    def __init__(self, observers: Sequence[GuardedObserver]) -> None:
        self._guarded = observers

    @property
    def observers(self) -> Sequence[Observer]:
        """The observers, to be told of clients, rounds and trials."""
        return self._guarded

    def ended(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Tell those that were not told yet that the run has ended, or broke off (None)."""
        for each in self._guarded:
            each.on_end(summary, files)


@contextmanager
def tracking(observers: Mapping[str, object], run: TrackedRun, tell: Tell) -> Iterator[Tracking]:
    """Tell observers, by name, that a run begins; at the end, those not told of its results that it broke off."""
    guarded = [GuardedObserver(observer, name, tell) for name, observer in observers.items()]
    told = Tracking(guarded)
    try:
        for each in guarded:
            each.on_start(run)
        yield told
    finally:
        told.ended(None, ())
