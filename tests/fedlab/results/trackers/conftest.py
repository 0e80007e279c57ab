"""A run of a few rounds, as records, and a way to tell trackers of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from fedlab.config.file import experiment_from
from fedlab.results.folder import RunFolder, create
from fedlab.results.recorder import Recorder
from fedlab.results.records import CandidateRecord, ClientRecord, GroupRecord, RoundRecord, TrialRecord
from fedlab.results.trackers.base import tracked_run
from fedlab.results.trackers.guarded import tracking
from fedlab.results.trackers.load import load_trackers

FILES = ("summary.json", "report.html")


def configuration(depth):
    return {"set": "bottleneck", "depth": depth, "width": 8}


def clients_of(number):
    """Return two clients of a round, which need 1 and 2 MB of memory in the first round, and more in later ones."""
    return [
        ClientRecord(
            server_round=number, group=group, partition_id=partition, device="rpi-4b",
            configuration=configuration(1), num_examples=8, batches=2, train_loss=0.5 + partition, compute_seconds=3.0,
            download_seconds=1.0, upload_seconds=1.0, joules=4.0, bytes_down=20, bytes_up=10,
            peak_memory_bytes=(partition + 1) * number * 10**6,
        )
        for partition, group in enumerate(("shallow", "deep"))
    ]  # fmt: skip


def round_of(number, depth=1):
    """Return a round of 10 s that two groups took 5 s of."""
    groups = [
        GroupRecord(
            group=each.group, configuration=each.configuration, clients=1, failures=0, seconds=each.seconds,
            joules=each.joules, bytes_down=each.bytes_down, bytes_up=each.bytes_up, train_loss=each.train_loss,
        )
        for each in clients_of(number)
    ]  # fmt: skip
    return RoundRecord(
        server_round=number, trial=1, simulated_seconds=10.0 * number, configuration=configuration(depth),
        groups=groups, validation_accuracy=number / 10, test_accuracy=None, wall_seconds=0.25 * number,
        measures={"validation": {"macro-f1": number / 20}},
    )  # fmt: skip


def trial_of(number, winner="deep"):
    """Return a trial that ended with a round; `deep` is an upgrade."""
    candidates = [
        CandidateRecord(
            group=group, configuration=configuration(depth), rounds=1, seconds=5.0, joules=4.0, bytes_down=20,
            bytes_up=10, validation_accuracy=accuracy,
        )
        for group, depth, accuracy in (("shallow", 1, 0.25), ("deep", 2, 0.5))
    ]  # fmt: skip
    return TrialRecord(
        trial=1, server_round=number, started_seconds=0.0, ended_seconds=10.0 * number, budget_seconds=5.0,
        candidates=candidates, winner=winner, configuration=configuration({"deep": 2, "shallow": 1}[winner]),
    )  # fmt: skip


@dataclass
class TrackedFolder:
    """A run folder, in which rounds are recorded and told as a run does; `said` are the lines that it tells."""

    folder: RunFolder
    to: list[str]
    options: dict[str, dict]
    said: list[str]
    base: Path

    def experiment(self):
        table = {"name": "mine", "rounds": 4, "base_folder": str(self.base), "task": {"kind": "classification"}}
        return experiment_from(table | {"tracking": {"to": self.to, "options": self.options}}, "mine.toml")

    def run(self, numbers, *, trial_at=2, ends=True):
        """Do these rounds; one that was recorded before is recorded again, as when a run is resumed."""
        experiment, first = self.experiment(), min(numbers, default=99)
        recorded = [each for each in self.folder.rounds() if each.server_round < first]
        self._record(recorded)
        with tracking(load_trackers(experiment), tracked_run(experiment, self.folder), self.said.append) as tracked:
            for number in numbers:
                record = round_of(number)
                self._record([*recorded, *(round_of(each) for each in numbers if each <= number)], trial_at)
                for observer in tracked.observers:
                    observer.on_clients(clients_of(number))
                    observer.on_round(record)
                    if number == trial_at:
                        observer.on_trial(trial_of(number))
            if ends:
                for name in FILES:
                    (self.folder.path / name).write_text("{}")
                tracked.ended({"status": "finished"}, self.folder.results())
        return tracked

    def _record(self, rounds, trial_at=2):
        for name in ("rounds", "clients", "trials"):
            self.folder.records_file(name).write_text("")
        recorder = Recorder(self.folder)
        for record in rounds:
            recorder.on_clients(clients_of(record.server_round))
            recorder.on_round(record)
            if record.server_round == trial_at:
                recorder.on_trial(trial_of(trial_at))
        recorder.close()


@pytest.fixture
def tracked_folder(tmp_path):
    """Return a function that makes a run folder whose experiment names trackers."""

    def make(*to, **options):
        folder = create(tmp_path / "runs" / "mine")
        return TrackedFolder(folder=folder, to=[*to], options=options, said=[], base=tmp_path)

    return make


@pytest.fixture
def records():
    """Return what makes records of a round: its clients, the round itself, and a trial that ends with it."""
    return clients_of, round_of, trial_of
