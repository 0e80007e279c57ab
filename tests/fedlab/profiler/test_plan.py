"""What is measured, in which order, and how readings become seconds a batch."""

import pytest

from fedlab.devices.tables import Point
from fedlab.errors import UserError
from fedlab.profiler.plan import MeasurementPlan, Reading, jobs_of, parse_methods
from fedlab.workload.shape import ModelShape

SHAPE = ModelShape(family="bert", blocks=2, hidden=8, intermediate=16)


def plan(*methods: str) -> MeasurementPlan:
    return MeasurementPlan(
        backbone="bert-tiny", methods=methods, point=Point(batch_size=2, sequence_length=10, width=4), batches=3
    )


def test_every_depth_of_every_table_is_measured_with_cached_batches_after_those_that_store_their_states():
    jobs = list(jobs_of(plan("adapter", "full"), SHAPE, bundle="b", scratch="s"))
    assert [(job.table, job.depth) for job in jobs] == [
        *(("adapter", 0), ("cached_adapter", 0)),
        *(("adapter", 1), ("cached_adapter", 1)),
        *(("adapter", 2), ("cached_adapter", 2)),
        *(("full", 0), ("full", 1), ("full", 2)),
    ]


def test_cached_batches_find_the_activations_of_their_depth_alone():
    jobs = list(jobs_of(plan("adapter"), SHAPE, bundle="b", scratch="s"))
    assert [job.activations for job in jobs] == [f"s/activations-{depth}" for depth in (0, 0, 1, 1, 2, 2)]


def test_there_is_room_for_the_states_of_all_depths():
    job = next(jobs_of(plan("adapter"), SHAPE, bundle="b", scratch="s"))
    assert job.activation_bytes == 4 * (3 * 2) * 10 * 8 * 4  # two depths and two to spare, 6 texts of 10 x 8 numbers


def test_seconds_a_batch_are_the_median_rounds():
    reading = Reading(round_seconds=(9.0, 1.0, 2.0), batches=4, loaded_bytes=1, peak_bytes=2, threads=1)
    assert reading.batch_seconds == 0.5


def test_methods_are_read_from_a_list_in_a_fixed_order():
    assert parse_methods("full, adapter,full") == ("adapter", "full")
    assert parse_methods("adapter") == ("adapter",)


@pytest.mark.parametrize("text", ["", "adaptor", "adapter,,full"])
def test_another_method_is_refused(text):
    with pytest.raises(UserError, match=r"--method .* cannot be measured: .*accepted: adapter, full"):
        parse_methods(text)
