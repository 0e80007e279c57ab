"""A client's part in a round, worked out by hand; a round lasts as long as its slowest participant."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.costs import charge, energy_joules, round_seconds
from fedlab.devices import REFERENCE_SHAPES, built_in_profiles, load_profile
from fedlab.links import constant, per_client
from fedlab.workload import Cost, Workload

BERT = REFERENCE_SHAPES["bert"]
BOARDS = [load_profile(name, Path()) for name in built_in_profiles()]
TX2 = load_profile("jetson-tx2", Path())
FULL = Workload(
    method="full",
    depth=12,
    width=0,
    batches=29,
    cached_batches=0,
    batch_size=4,
    sequence_length=256,
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
    head = replace(FULL, method="adapter", depth=0, width=8, cached_batches=29)
    one = cost(head, num_bytes=20_000 * 4)
    assert one.seconds == pytest.approx(29 * 0.02 + 2 * 0.08)
    assert one.joules == pytest.approx(12 * 0.58 + 4 * 0.16)
    assert one.peak_memory_bytes == 720_000_000


def test_the_link_is_asked_for_the_partitions_own_bandwidth():
    link = per_client(["1MB/s", "2MB/s"])
    assert cost(link=link, partition_id=1).download_seconds == 219.0


def test_energy_is_each_power_times_its_seconds():
    assert energy_joules(TX2, compute_seconds=10, transfer_seconds=5) == 12 * 10 + 4 * 5


def test_a_round_without_participants_takes_no_time():
    assert round_seconds([]) == 0


@given(st.lists(st.tuples(st.sampled_from(BOARDS), st.integers(0, 12), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_a_round_is_never_shorter_than_any_participants_part(parts):
    costs = [
        cost(replace(FULL, method="adapter", width=32, depth=depth), num_bytes, board)
        for board, depth, num_bytes in parts
    ]
    assert all(round_seconds(costs) >= one.seconds for one in costs)
    assert round_seconds(costs) in [one.seconds for one in costs]


@given(st.floats(1e3, 1e9), st.floats(1e3, 1e9))
def test_a_faster_link_never_costs_more(one, other):
    slow, fast = (cost(link=constant(bandwidth)) for bandwidth in sorted((one, other)))
    assert fast.seconds <= slow.seconds
    assert fast.joules <= slow.joules
