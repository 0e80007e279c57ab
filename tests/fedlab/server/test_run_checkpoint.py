"""Checkpoints take under a twentieth of the rounds' time, and always keep the first round and the last but one."""

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg

from fedlab.common.clock import VirtualClock
from fedlab.errors import DamagedError
from fedlab.server.checkpoint import load_tree, save_tree
from fedlab.server.round_loop import RunState
from fedlab.server.run_checkpoint import RunCheckpoint, checkpoint_due, resumable_parts


def due(server_round=7, *, every=None, since=0.0, last=1.0):
    return checkpoint_due(server_round, every=every, since_seconds=since, last_seconds=last)


def test_the_first_round_of_a_process_is_always_kept():
    assert due(last=None)
    assert due(every=100, last=None)


def test_a_checkpoint_waits_until_rounds_took_twenty_times_as_long_as_the_last_one():
    assert not due(since=39.9, last=2.0)
    assert due(since=40.0, last=2.0)


@pytest.mark.parametrize(("server_round", "expected"), [(3, True), (4, False), (6, True), (7, False)])
def test_every_third_round_is_kept_however_long_it_takes(server_round, expected):
    assert due(server_round, every=3, since=1e9 * (not expected), last=1.0) == expected


class Stopwatches:
    """Stopwatches of a time that passes when it is told to; writing a checkpoint takes `writing_seconds`."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        started = self.now
        return lambda: self.now - started


class Files:
    """A recorder whose marks take time."""

    def __init__(self, stopwatches, writing_seconds):
        self._stopwatches, self._writing_seconds = stopwatches, writing_seconds
        self.rewound = None

    def mark(self):
        self._stopwatches.now += self._writing_seconds
        return {"rounds.jsonl": 10}

    def rewind(self, marks):
        self.rewound = marks


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that makes a run's checkpoint, its time and its recorder."""

    def make(*, every=None, writing_seconds=1.0):
        (tmp_path / "rounds.jsonl").write_text('{"round":1}\n')
        stopwatches = Stopwatches()
        recorder = Files(stopwatches, writing_seconds)
        made = RunCheckpoint(
            path=tmp_path / "checkpoint",
            parts=resumable_parts(clock=VirtualClock(), strategy=FedAvg()),
            recorder=recorder,
            every=every,
            timer=stopwatches,
        )
        return made, stopwatches, recorder

    return make


def state(server_round):
    arrays = {"x": np.full(2, server_round, np.float32)}
    return RunState(server_round=server_round, arrays=arrays, configuration={"set": "head"})


def kept(checkpoint, stopwatches, path, *, seconds, rounds):
    """Run rounds that take so long and return which of them were kept."""
    found = []
    for server_round in range(1, rounds + 1):
        stopwatches.now += seconds
        checkpoint.save(state(server_round), next_is_last=server_round == rounds)
        if load_tree(path)["state"]["server_round"] == server_round:
            found.append(server_round)
    return found


def test_rounds_of_eight_seconds_and_checkpoints_of_one_are_kept_every_third_time(checkpoint, tmp_path):
    made, stopwatches, _ = checkpoint()
    assert kept(made, stopwatches, tmp_path / "checkpoint", seconds=8.0, rounds=8) == [1, 4, 7, 8]


def test_long_rounds_are_all_kept(checkpoint, tmp_path):
    made, stopwatches, _ = checkpoint()
    assert kept(made, stopwatches, tmp_path / "checkpoint", seconds=20.0, rounds=4) == [1, 2, 3, 4]


def test_the_experiment_may_say_which_rounds_are_kept(checkpoint, tmp_path):
    made, stopwatches, _ = checkpoint(every=3)
    assert kept(made, stopwatches, tmp_path / "checkpoint", seconds=0.0, rounds=7) == [1, 3, 6, 7]


def test_a_run_resumes_with_its_state_and_the_real_time_it_took(checkpoint):
    made, stopwatches, _ = checkpoint(writing_seconds=0.0)
    stopwatches.now += 12.0
    made.save(state(5), next_is_last=False)

    resumed, later, recorder = checkpoint()
    found = resumed.restore()
    later.now += 3.0

    assert (found.server_round, found.arrays["x"].tolist()) == (5, [5.0, 5.0])
    assert resumed.wall_seconds() == 15.0
    assert recorder.rewound == {"rounds.jsonl": 10}


def test_a_checkpoint_of_other_rounds_is_refused(checkpoint, tmp_path):
    made, _, _ = checkpoint()
    made.save(state(5), next_is_last=False)
    resumed, _, recorder = checkpoint()
    (tmp_path / "rounds.jsonl").write_text('{"round":2}\n')
    with pytest.raises(DamagedError, match=r"is not the checkpoint of this run's rounds\.jsonl"):
        resumed.restore()
    assert recorder.rewound is None


def test_a_part_that_cannot_use_its_state_is_one_line(checkpoint, tmp_path):
    made, _, _ = checkpoint()
    made.save(state(5), next_is_last=False)
    tree = load_tree(tmp_path / "checkpoint")
    tree["parts"]["clock"] = {"main": 3.0}
    save_tree(tmp_path / "checkpoint", tree)
    with pytest.raises(DamagedError, match="clock cannot be restored: KeyError: 'lanes'"):
        checkpoint()[0].restore()


def test_a_run_without_a_checkpoint_starts_over_and_forgets_what_it_recorded(checkpoint):
    made, _, recorder = checkpoint()
    assert made.restore() is None
    assert recorder.rewound == {"rounds.jsonl": 0}


def test_parts_that_have_nothing_to_keep_are_left_out():
    assert set(resumable_parts(strategy=FedAvg(), clock=VirtualClock(), clients=object())) == {"strategy", "clock"}
