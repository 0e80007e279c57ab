"""A client's part in a round, worked out by hand: its stages, its energy, and how far it has come at any time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.billing.costs import Stages, charge, compute_joules, cost_of
from fedlab.devices.costmodel.base import Computing
from fedlab.devices.profile import load_profile
from fedlab.network.links import constant, per_client
from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.shape import REFERENCE_SHAPES
from fedlab.workload.workload import Cost, Workload, training_passes

BERT = REFERENCE_SHAPES["bert"]
TX2 = load_profile("jetson-tx2", Path())
FULL = Workload(
    passes=training_passes(batches=29, batch_size=4, input_shape=(256,), model_blocks=12, depth=12, trained=WHOLE),
    num_examples=113,
)
FULL_BYTES = 109_500_000 * 4


def cost(workload: Workload = FULL, num_bytes: int = FULL_BYTES, profile=TX2, link=None, partition_id: int = 0) -> Cost:
    return charge(
        workload,
        profile=profile,
        link=link or constant("1MB/s"),
        shape=BERT,
        bytes_down=num_bytes,
        bytes_up=num_bytes,
        partition_id=partition_id,
        server_round=1,
        start_seconds=0.0,
    )


def test_a_round_of_full_fine_tuning_on_20news():
    one = cost()
    assert one.compute_seconds == 29 * 1.7
    assert (one.download_seconds, one.upload_seconds) == (438.0, 438.0)
    assert one.seconds == pytest.approx(49.3 + 876)
    assert one.joules == pytest.approx(12 * 49.3 + 4 * 876)
    assert (one.bytes_down, one.bytes_up) == (FULL_BYTES, FULL_BYTES)
    assert one.peak_memory_bytes == 5_300_000_000


def test_a_round_of_the_head_alone_from_stored_activations():
    passes = training_passes(
        batches=29,
        cached_batches=29,
        batch_size=4,
        input_shape=(256,),
        model_blocks=12,
        depth=0,
        trained=bottleneck(8),
    )
    one = cost(Workload(passes=passes, num_examples=113), num_bytes=20_000 * 4)
    assert one.seconds == pytest.approx(29 * 0.02 + 2 * 0.08)
    assert one.joules == pytest.approx(12 * 0.58 + 4 * 0.16)
    assert one.peak_memory_bytes == 720_000_000


def test_the_link_is_asked_for_the_partitions_own_bandwidth():
    link = per_client(["1MB/s", "2MB/s"])
    assert cost(link=link, partition_id=1).download_seconds == 219.0


def test_the_upload_starts_when_the_work_is_done():
    asked = []

    class Noting:
        def transfer_seconds(self, num_bytes, *, direction, partition_id, server_round, start_seconds):
            asked.append((direction, start_seconds))
            return 10.0

    charge(
        FULL, profile=TX2, link=Noting(), shape=BERT, bytes_down=1, bytes_up=1, partition_id=0, server_round=1,
        start_seconds=100.0,
    )  # fmt: skip
    assert asked == [("down", 100.0), ("up", pytest.approx(100 + 10 + 29 * 1.7))]


def test_energy_is_each_power_times_its_seconds():
    stages = Stages(download_seconds=3.0, compute_seconds=10.0, upload_seconds=2.0)
    ran = (Computing(watts=12.0, seconds=10.0),)
    one = cost_of(stages, profile=TX2, computing=ran, bytes_down=1, bytes_up=2, memory_bytes=3, idle_seconds=7.0)
    assert (one.compute_joules, one.transfer_joules) == (12 * 10, 4 * 5)
    assert one.idle_joules == TX2.idle_watts * 7 > 0
    assert one.joules == 120 + 20 + one.idle_joules
    assert (one.seconds, one.idle_seconds) == (15.0, 7.0)


@pytest.mark.parametrize(("seconds", "joules"), [(0.0, 0), (2.0, 20), (4.0, 40), (5.0, 43), (10.0, 58), (12.0, 58)])
def test_each_processor_draws_its_own_power_as_far_as_it_came(seconds, joules):
    ran = (Computing(watts=10.0, seconds=4.0), Computing(watts=3.0, seconds=6.0))
    assert compute_joules(ran, seconds) == joules
    assert compute_joules((), seconds) == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, (0, 0, 0)), (2.0, (2, 0, 0)), (3.0, (3, 0, 0)), (8.0, (3, 5, 0)), (14.0, (3, 10, 1)), (99.0, (3, 10, 2))],
)
def test_stages_come_one_after_the_other(seconds, expected):
    stages = Stages(download_seconds=3.0, compute_seconds=10.0, upload_seconds=2.0).until(seconds)
    assert (stages.download_seconds, stages.compute_seconds, stages.upload_seconds) == expected


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 4e6))
def test_at_any_time_so_much_is_done_as_time_has_passed(download, compute, upload, seconds):
    whole = Stages(download_seconds=download, compute_seconds=compute, upload_seconds=upload)
    done = whole.until(seconds)
    assert done.seconds == pytest.approx(min(seconds, whole.seconds), rel=1e-9, abs=1e-9)
    assert min(vars(done).values()) >= 0


@given(st.floats(1e3, 1e9), st.floats(1e3, 1e9))
def test_a_faster_link_never_costs_more(one, other):
    slow, fast = (cost(link=constant(bandwidth)) for bandwidth in sorted((one, other)))
    assert fast.seconds <= slow.seconds
    assert fast.joules <= slow.joules
