"""A fleet has exact proportions, in an order that only the seed decides, and a throughput a client."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.config.schema import FleetTable
from fedlab.devices import fleet as fleets
from fedlab.devices.costmodel.base import compute_seconds, provenance_level
from fedlab.devices.fleet import Fleet, apportion
from fedlab.errors import UserError
from fedlab.workload.passes import bottleneck
from fedlab.workload.shape import REFERENCE_SHAPES
from fedlab.workload.workload import Workload, training_passes

THREE = {"jetson-tx2": 1.0, "jetson-nano": 1.0, "rpi-4b": 1.0}
PUBLISHED = {"distribution": "truncated-normal", "mean": 10, "sd": 6, "low": 1, "high": 20}
WORK = Workload(
    passes=training_passes(
        batches=1, batch_size=4, input_shape=(256,), model_blocks=12, depth=2, trained=bottleneck(32)
    ),
    num_examples=4,
)


def build_fleet(devices: dict, clients: int, seed: int = 0, base: Path = Path(), **throughput) -> Fleet:
    return fleets.build_fleet(FleetTable(devices=devices, throughput=throughput), clients, seed, base)


def names(fleet: Fleet) -> list[str]:
    return [fleet.profile(partition).name for partition in range(len(fleet))]


def test_a_fleet_of_one_board():
    assert set(names(build_fleet({"jetson-tx2": 1.0}, 5))) == {"jetson-tx2"}


def test_a_uniform_mix_of_three_over_a_hundred_clients():
    fleet = build_fleet(THREE, 100)
    assert Counter(names(fleet)) == {"jetson-tx2": 34, "jetson-nano": 33, "rpi-4b": 33}


def test_the_order_is_shuffled_and_depends_on_the_seed_alone():
    first, again, other = (names(build_fleet(THREE, 60, seed)) for seed in (7, 7, 8))
    assert first == again != other
    assert first != sorted(first, key=list(THREE).index)


def test_a_partition_has_its_profile():
    fleet = build_fleet(THREE, 9, seed=3)
    assert [fleet.profile(partition).name for partition in range(9)] == names(fleet)
    with pytest.raises(AssertionError):
        fleet.profile(9)


def test_a_board_with_no_share_gets_no_client():
    assert "rpi-4b" not in names(build_fleet({"jetson-tx2": 1.0, "rpi-4b": 0.0}, 7))


def test_clients_of_a_throughput_take_their_share_of_the_time_at_the_same_power(tmp_path):
    (tmp_path / "speeds.csv").write_text("partition_id,throughput\n0,1\n1,0.5\n2,2\n")
    fleet = build_fleet({"jetson-tx2": 1.0}, 5, base=tmp_path, csv="speeds.csv")
    assert names(fleet) == [f"jetson-tx2 x{each}" for each in ("1", "0.5", "2", "1", "0.5")]
    boards = [fleet.profile(partition) for partition in range(3)]
    bert = REFERENCE_SHAPES["bert"]
    assert [compute_seconds(board, WORK, bert) for board in boards] == [0.63, 0.63 / 0.5, 0.63 / 2]
    assert {board.processor().computing_watts for board in boards} == {12}
    assert [provenance_level(board, WORK, bert) for board in boards] == ["published", "scaled", "scaled"]


def test_a_mixed_fleet_has_throughputs_too():
    fleet = build_fleet(THREE, 30, **PUBLISHED)
    boards = Counter(name.split(" x")[0] for name in names(fleet))
    assert boards == {"jetson-tx2": 10, "jetson-nano": 10, "rpi-4b": 10}
    assert len(set(names(fleet))) > 15


def test_throughputs_leave_the_order_of_the_boards_as_it_is():
    plain, spread = build_fleet(THREE, 30), build_fleet(THREE, 30, **PUBLISHED)
    assert [name.split(" x")[0] for name in names(spread)] == names(plain)


def test_a_hundred_thousand_clients_share_the_tables_of_one_profile():
    fleet = build_fleet({"jetson-tx2": 1.0}, 100_000, **PUBLISHED)
    first, last = fleet.profile(0), fleet.profile(99_999)
    assert first.tables("default", "fp32").latency_seconds is last.tables("default", "fp32").latency_seconds
    assert len(fleet.profiles) == 1
    same = replace(first, name=last.name, relative_throughput=last.relative_throughput)
    assert same == last


def test_an_unknown_board_is_refused():
    with pytest.raises(UserError, match="unknown device 'jetson-orin'"):
        build_fleet({"jetson-orin": 1.0}, 3)


@pytest.mark.parametrize(
    ("shares", "total", "counts"),
    [((0.5, 0.3, 0.2), 10, (5, 3, 2)), ((1.0, 1.0), 3, (2, 1)), ((0.6, 0.4), 4, (2, 2)), ((3.0, 1.0), 2, (2, 0))],
)
def test_counts_by_largest_remainder(shares, total, counts):
    assert apportion(shares, total) == counts


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(0, 1000))
def test_counts_add_up_and_are_within_one_of_the_share(shares, total):
    counts = apportion(tuple(shares), total)
    assert sum(counts) == total
    quotas = [total * share / sum(shares) for share in shares]
    assert all(abs(count - quota) < 1 + 1e-6 for count, quota in zip(counts, quotas, strict=True))


def test_without_the_memory_limit_no_board_is_too_small(tmp_path):
    table = FleetTable(devices={"jetson-nano": 1.0})
    limited, unlimited = (
        fleets.build_fleet(each, 1, 0, tmp_path).profile(0).memory_bytes
        for each in (table, table.model_copy(update={"memory_limit": False}))
    )
    assert limited == 4e9
    assert unlimited > 10**15
