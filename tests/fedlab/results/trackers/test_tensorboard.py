"""Event files are read back by TensorBoard itself."""

from pathlib import Path

import pytest

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
)


def read(folder):
    return event_accumulator.EventAccumulator(str(folder.path / "tensorboard")).Reload()


def series(events, tag):
    return [(each.step, each.wall_time, pytest.approx(each.value)) for each in events.Scalars(tag)]


def texts(events, tag):
    return [(each.step, each.tensor_proto.string_val[0].decode()) for each in events.Tensors(tag)]


def test_scalars_are_read_back_by_round_and_simulated_time(tracked_folder):
    made = tracked_folder("tensorboard")
    made.run([1, 2, 3])
    events = read(made.folder)
    assert series(events, "validation/accuracy") == [(1, 10.0, 0.1), (2, 20.0, 0.2), (3, 30.0, 0.3)]
    assert series(events, "total/joules") == [(1, 10.0, 8.0), (2, 20.0, 16.0), (3, 30.0, 24.0)]
    assert series(events, "trial/deep") == [(2, 20.0, 0.5)]
    assert made.said == []


def test_the_experiment_and_the_trials_are_texts(tracked_folder):
    made = tracked_folder("tensorboard")
    made.run([1, 2])
    events = read(made.folder)
    ((step, keys),) = texts(events, "experiment")
    assert step == 0
    assert "    task.partition.clients = 100\n" in keys
    ((step, line),) = texts(events, "events")
    assert step == 2
    assert "deep wins, depth 2, width 8" in line


@pytest.mark.parametrize("resumed_from", [1, 3])
def test_a_resumed_run_has_each_round_once(tracked_folder, resumed_from):
    made = tracked_folder("tensorboard")
    made.run([1, 2, 3], ends=False)
    made.run([*range(resumed_from + 1, 5)])
    events = read(made.folder)
    assert [step for step, *_ in series(events, "round/joules")] == [1, 2, 3, 4]
    assert series(events, "total/joules")[-1] == (4, 40.0, 32.0)
    assert [step for step, _ in texts(events, "events")] == [2]


def test_a_run_that_is_resumed_and_breaks_off_at_once_keeps_what_it_had(tracked_folder):
    made = tracked_folder("tensorboard")
    made.run([1, 2, 3], ends=False)
    made.run([], ends=False)
    assert [step for step, *_ in series(read(made.folder), "round")] == [1, 2, 3]


def test_a_folder_that_cannot_be_written_is_told_once_and_the_run_goes_on(tracked_folder):
    made = tracked_folder("tensorboard")
    (made.folder.path / "tensorboard").write_text("in the way")
    made.run([1, 2, 3])
    (line,) = made.said
    assert line.startswith("tracker tensorboard failed in on_round: FileExistsError")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_once_and_the_run_goes_on(tracked_folder, monkeypatch):
    opened = Path.open

    def full(path, *how, **more):
        return opened(Path("/dev/full"), "wb") if "tfevents" in path.name else opened(path, *how, **more)

    monkeypatch.setattr(Path, "open", full)
    made = tracked_folder("tensorboard")
    made.run([1, 2, 3])
    (line,) = made.said
    assert line.startswith("tracker tensorboard failed in on_round: OSError: [Errno 28] No space left on device")
