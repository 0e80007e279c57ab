"""A measurement runs the client's own batches: uncached ones from the tokens, cached ones from stored states."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedlab.devices.tables import Point
from fedlab.models.split import Network
from fedlab.profiler import worker
from fedlab.profiler.plan import Job

BATCHES = 4  # the first of the small experiment's clients has 14 texts, so that the last batch is of 2


@pytest.fixture
def job(bundle, tmp_path) -> Job:
    """Return the measurement of uncached adapters in one of two blocks."""
    return Job(
        table="adapter",
        depth=1,
        point=Point(batch_size=4, sequence_length=16, width=8),
        repeats=2,
        bundle=str(bundle.folder),
        activations=str(tmp_path / "activations"),
        activation_bytes=2**24,
    )


def test_a_reading_has_a_time_for_each_round_and_the_peak_of_memory(job):
    reading = worker.measure(job)
    assert reading.batches == BATCHES
    assert len(reading.round_seconds) == 2
    assert min(reading.round_seconds) > 0
    assert 10_000_000 < reading.loaded_bytes <= reading.peak_bytes


def test_cached_batches_never_run_the_frozen_blocks(job, monkeypatch):
    worker.measure(job)  # leaves the states of its depth
    monkeypatch.setattr(Network, "frozen", lambda *_: pytest.fail("the frozen blocks are run again"))
    assert worker.measure(replace(job, table="cached_adapter")).batches == BATCHES


def test_uncached_batches_run_the_frozen_blocks_every_round(job, monkeypatch):
    worker.measure(job)
    passes = []
    frozen = Network.frozen
    monkeypatch.setattr(Network, "frozen", lambda *given: passes.append(1) or frozen(*given))
    worker.measure(job)
    assert len(passes) >= 1 + 2  # the warm-up and two rounds, although there are stored states by now


def test_the_head_alone_is_measured_at_depth_zero(job):
    assert worker.measure(replace(job, depth=0)).batches == BATCHES


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_whole_blocks_are_measured_at_every_depth_and_without_stored_states(job, depth):
    reading = worker.measure(replace(job, table="full", depth=depth, repeats=1))
    assert (reading.batches, len(reading.round_seconds)) == (BATCHES, 1)
    assert not Path(job.activations).exists()
