"""All observers of a run are told the same, in the order in which it happens."""

from fedlab.results.observers import Audience
from fedlab.results.records import RoundRecord, StepRecord, TrialRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


class Noting:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def on_clients(self, records):
        self.told.append(("clients", list(records)))

    def on_round(self, record):
        self.told.append(("round", record.server_round))

    def on_trial(self, record):
        self.told.append(("trial", record.trial))

    def on_step(self, record):
        self.told.append(("step", record.step))

    def on_message(self, text, detail=None):
        self.told.append(("message", text, detail))


def round_(server_round, notes=()):
    return RoundRecord(
        server_round=server_round, trial=1, simulated_seconds=1.0, configuration=adapters(0, 8), groups=[],
        validation_accuracy=None, test_accuracy=None, wall_seconds=0.0, notes=list(notes),
    )  # fmt: skip


def trial(number):
    return TrialRecord(
        trial=number, server_round=1, started_seconds=0.0, ended_seconds=1.0, budget_seconds=1.0, candidates=[],
        winner="deep", configuration=adapters(2, 8),
    )  # fmt: skip


def step(number):
    return StepRecord(
        server_round=1, step=number, cycle=0, clients=3, probes=6, guided=False, variance=0.5, cosine=None,
        verdict="accepted", bytes_down=1, bytes_up=1,
    )  # fmt: skip


def test_everybody_is_told_and_a_trial_after_the_round_it_ends_with():
    first, second = Noting(), Noting()
    audience = Audience([first, second])
    audience.on_clients([])
    audience.on_step(step(4))
    audience.on_trial(trial(1))
    audience.on_round(round_(1))
    audience.on_round(round_(2))
    audience.on_message("hello", "detail")
    assert first.told == second.told
    assert first.told == [
        ("clients", []),
        ("step", 4),
        ("round", 1),
        ("trial", 1),
        ("round", 2),
        ("message", "hello", "detail"),
    ]


def test_a_rounds_notes_are_told_as_messages():
    noting = Noting()
    Audience([noting]).on_round(round_(7, notes=["deep: the model stays"]))
    assert noting.told == [("round", 7), ("message", "round 7: deep: the model stays", None)]
