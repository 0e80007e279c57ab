"""The observer that tells a tracker of a run."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fedlab.results.folder import RunFolder
from fedlab.results.records import ClientRecord, RoundRecord, TrialRecord
from fedlab.results.trackers.base import TrackedRun, Tracker
from fedlab.results.trackers.scalars import RunningTotals, line_of_trial, scalars_of_round, scalars_of_trial


class TrackerObserver:
    """Tells a tracker of rounds and trials, each once; `score` is the name of the accuracies.

    Of a resumed run, the tracker is told of the recorded rounds that it does not have yet. Rounds that are computed a
    second time, because they came after the checkpoint, are not told a second time.
    """

    def __init__(self, tracker: Tracker, score: str) -> None:
        self._tracker, self._score = tracker, score
        self._totals = RunningTotals()
        self._clients: Sequence[ClientRecord] = ()
        self._kept, self._seconds, self._first = 0, 0.0, True

    def on_start(self, run: TrackedRun) -> None:
        """Let the tracker begin, or go on."""
        self._folder = RunFolder(run.folder)
        self._kept = self._tracker.start(run)

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Keep the clients of the round that is about to be told."""
        self._clients = records

    def on_round(self, record: RoundRecord) -> None:
        """Tell of a round, and before the first one of those that were recorded before."""
        if self._first:
            self._first = False
            self._catch_up(record.server_round)
        self._round(record, self._clients)

    def on_trial(self, record: TrialRecord) -> None:
        """Tell of a trial: how accurate each group was, and who won."""
        totals = self._totals.of_trial(record)
        if record.server_round <= self._kept:
            return
        number, seconds = record.server_round, self._seconds
        values = scalars_of_trial(record) | totals
        self._tracker.scalars(values, server_round=number, simulated_seconds=seconds)
        self._tracker.event(line_of_trial(record), server_round=number, simulated_seconds=seconds)

    def on_end(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Tell of the end of the run."""
        self._tracker.end(summary, files)

    def _catch_up(self, before: int) -> None:
        """Tell of the rounds recorded before one, and of their trials."""
        if before == 1:
            return
        clients = {number: [*each] for number, each in groupby(self._folder.clients(), lambda each: each.server_round)}
        trials = {trial.server_round: trial for trial in self._folder.trials()}
        for record in self._folder.rounds():
            if record.server_round < before:
                self._round(record, clients.get(record.server_round, ()))
                if record.server_round in trials:
                    self.on_trial(trials[record.server_round])

    def _round(self, record: RoundRecord, clients: Sequence[ClientRecord]) -> None:
        self._seconds = record.simulated_seconds
        totals = self._totals.of_round(record)
        if record.server_round > self._kept:
            values = scalars_of_round(record, clients, self._score) | totals
            self._tracker.scalars(values, server_round=record.server_round, simulated_seconds=self._seconds)
