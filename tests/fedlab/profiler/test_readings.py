"""Readings become a profile that says what was measured, how, and what was not."""

import pytest

from fedlab.devices.costmodel.base import compute_seconds, peak_memory_bytes, provenance_level
from fedlab.devices.file import write_profile_file
from fedlab.devices.profile import load_profile
from fedlab.devices.tables import Point
from fedlab.profiler.plan import Job, MeasurementPlan, Reading
from fedlab.profiler.readings import Machine, Power, Readings, profile_table
from fedlab.workload.passes import bottleneck
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Workload, training_passes

SHAPE = ModelShape(family="bert", blocks=2, hidden=8, intermediate=16)
WEIGHTS = 2 * (4 * 8 * 8 + 2 * 8 * 16) * 4
POINT = Point(batch_size=2, sequence_length=10, width=4)
MACHINE = Machine(description="a board", memory_bytes=10**9, source="a board, today")
POWER = Power(computing_watts=5.0, communicating_watts=2.0, idle_watts=1.0, source=None)


def job(table: str, depth: int) -> Job:
    return Job(table=table, depth=depth, point=POINT, repeats=3, bundle="", activations="", activation_bytes=0)


def reading(seconds: float, peak: int = 9000) -> Reading:
    return Reading(round_seconds=(4 * seconds,), batches=4, loaded_bytes=2000, peak_bytes=peak, threads=2)


@pytest.fixture
def readings() -> Readings:
    """Return readings of adapters at every depth, and of whole blocks at the first alone."""
    found = Readings(plan=MeasurementPlan(backbone="x", methods=("adapter", "full"), point=POINT), shape=SHAPE)
    for depth in range(3):
        found.add(job("adapter", depth), reading(0.123456 * (depth + 1), 9000 + depth))
    found.add(job("full", 0), reading(1.0))
    found.add(job("full", 1), "its process was killed")
    return found


def test_a_table_without_every_depth_is_left_out_and_the_reason_kept(readings):
    assert set(readings.complete()) == {"adapter"}
    assert readings.failures == {"full": "depth 1: its process was killed"}


def test_the_profile_gives_back_what_was_measured_as_measured(readings, tmp_path):
    write_profile_file(tmp_path / "mine.toml", profile_table(readings, MACHINE, POWER))
    board = load_profile("mine.toml", tmp_path)
    workload = Workload(
        passes=training_passes(
            batches=1, batch_size=2, input_shape=(10,), model_blocks=SHAPE.blocks, depth=1, trained=bottleneck(4)
        ),
        num_examples=2,
    )
    assert compute_seconds(board, workload, SHAPE) == 0.2469
    assert peak_memory_bytes(board, workload, SHAPE) == 9001
    assert provenance_level(board, workload, SHAPE) == "measured"
    known = board.tables("default", "fp32").latency_seconds["bert", "adapter"].provenance
    assert known.source == "a board, today, 2 thread(s), median of 3 rounds of 4 batches"


def test_what_no_batch_changes_is_what_was_loaded_and_the_weights(readings):
    table = profile_table(readings, MACHINE, POWER)
    assert table["peak_memory_bytes"]["bert"]["adapter"]["fixed"] == 2000 + WEIGHTS


def test_power_is_assumed_unless_it_is_said_how_it_was_measured(readings):
    given = profile_table(readings, MACHINE, POWER)
    assert (given["idle_watts"]["value"], given["idle_watts"]["provenance"]) == (1.0, "assumed")
    metered = Power(computing_watts=5.0, communicating_watts=2.0, idle_watts=1.0, source="a meter at the wall")
    known = profile_table(readings, MACHINE, metered)["computing_watts"]
    assert known == {"value": 5.0, "provenance": "measured", "source": "a meter at the wall"}
