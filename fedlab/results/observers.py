"""All that is told of a run, as one observer."""

from collections.abc import Sequence

from fedlab.results.recorder import Observer
from fedlab.results.records import ClientRecord, RoundRecord, StepRecord, TrialRecord


class Audience:
    """Tells every observer; a trial ends inside its last round, and is told after it."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._trials: list[TrialRecord] = []

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Tell of a round's clients."""
        for observer in self._observers:
            observer.on_clients(records)

    def on_round(self, record: RoundRecord) -> None:
        """Tell of a round, of its notes, and of the trials that ended in it."""
        for observer in self._observers:
            observer.on_round(record)
        for note in record.notes:
            self.on_message(f"round {record.server_round}: {note}")
        ended, self._trials = self._trials, []
        for trial in ended:
            for observer in self._observers:
                observer.on_trial(trial)

    def on_trial(self, record: TrialRecord) -> None:
        """Keep a trial until its last round is told."""
        self._trials.append(record)

    def on_step(self, record: StepRecord) -> None:
        """Tell of an exchange that a strategy judged."""
        for observer in self._observers:
            observer.on_step(record)

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Tell something."""
        for observer in self._observers:
            observer.on_message(text, detail)
