"""A board is measured entry by entry, each in a process of its own; what fails is left out and said."""

import sys
from pathlib import Path

import pytest

from fedlab.devices.tables import Point
from fedlab.errors import UserError
from fedlab.profiler import session
from fedlab.profiler.plan import Job, MeasurementPlan, Reading
from fedlab.workload.shape import ModelShape

POINT = Point(batch_size=4, sequence_length=16, width=8)
READING = Reading(round_seconds=(1.0,), batches=4, loaded_bytes=1, peak_bytes=2, threads=1)


def measure(monkeypatch, answer) -> tuple[session.Readings, list[tuple[str, int]]]:
    """Measure a board of two blocks whose jobs are answered by a function."""
    shape = ModelShape(family="bert", blocks=2, hidden=128, intermediate=512)
    monkeypatch.setattr(session, "_prepare", lambda plan, scratch: Path(scratch))
    monkeypatch.setattr(session, "shape_of", lambda bundle: shape)
    monkeypatch.setattr(session, "run_job", answer)
    started: list[tuple[str, int]] = []
    readings = session.measure_board(
        MeasurementPlan(backbone="bert-tiny", methods=("adapter", "full"), point=POINT),
        on_job=lambda job, total: started.append((job.table, job.depth)),
        on_reading=lambda job, found: None,
    )
    return readings, started


def test_all_depths_of_all_tables_are_measured(monkeypatch):
    readings, started = measure(monkeypatch, lambda job: READING)
    assert {name: len(found) for name, found in readings.complete().items()} == {
        "adapter": 3,
        "cached_adapter": 3,
        "full": 3,
    }
    assert len(started) == 9


def test_a_table_is_given_up_at_the_first_depth_that_cannot_be_measured(monkeypatch):
    readings, started = measure(monkeypatch, lambda job: "no memory" if job.table == "full" and job.depth else READING)
    assert set(readings.complete()) == {"adapter", "cached_adapter"}
    assert readings.failures == {"full": "depth 1: no memory"}
    assert ("full", 2) not in started


def test_cached_batches_are_not_measured_without_those_that_store_their_states(monkeypatch):
    readings, started = measure(monkeypatch, lambda job: "no memory" if job.table == "adapter" else READING)
    assert set(readings.complete()) == {"full"}
    assert not any(table == "cached_adapter" for table, _ in started)


def test_what_is_complete_when_it_is_interrupted_is_kept(monkeypatch):
    def answer(job: Job) -> Reading:
        if job.table == "full" and job.depth == 1:
            raise KeyboardInterrupt
        return READING

    readings, _ = measure(monkeypatch, answer)
    assert set(readings.complete()) == {"adapter", "cached_adapter"}
    assert readings.failures == {"full": "interrupted"}


def test_a_job_runs_in_a_process_of_its_own(bundle, tmp_path):
    job = Job(
        table="adapter",
        depth=1,
        point=POINT,
        repeats=1,
        bundle=str(bundle.folder),
        activations=str(tmp_path / "activations"),
        activation_bytes=2**24,
    )
    reading = session.run_job(job)
    assert isinstance(reading, Reading), reading
    assert len(reading.round_seconds) == 1
    assert (tmp_path / "activations").is_dir()


ENDINGS = [
    ("kill -9 $$", "its process was killed, as happens where memory runs out"),
    ("echo Traceback >&2; echo MemoryError >&2; exit 1", "MemoryError"),
    ("exit 3", "its process ended with 3"),
]


@pytest.mark.parametrize(("script", "reason"), ENDINGS)
def test_a_job_whose_process_fails_gives_the_reason(monkeypatch, tmp_path, script, reason):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    job = Job(table="full", depth=1, point=POINT, repeats=1, bundle="", activations="", activation_bytes=0)
    assert session.run_job(job) == reason


def test_a_backbone_that_is_not_there_is_refused_by_its_option(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path))
    plan = MeasurementPlan(backbone="no such thing", methods=("adapter",), point=POINT)
    with pytest.raises(UserError, match=r"^--backbone"):
        session.measure_board(plan, on_job=lambda *_: None, on_reading=lambda *_: None)
