"""A fleet has exact proportions, in an order that only the seed decides."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.fleet import Fleet, apportion, build_fleet

THREE = {"jetson-tx2": 1.0, "jetson-nano": 1.0, "rpi-4b": 1.0}


def names(fleet: Fleet) -> list[str]:
    return [profile.name for profile in fleet.profiles]


def test_a_fleet_of_one_board():
    assert set(names(build_fleet({"jetson-tx2": 1.0}, 5, 0, Path()))) == {"jetson-tx2"}


def test_a_uniform_mix_of_three_over_a_hundred_clients():
    fleet = build_fleet(THREE, 100, 0, Path())
    assert Counter(names(fleet)) == {"jetson-tx2": 34, "jetson-nano": 33, "rpi-4b": 33}


def test_the_order_is_shuffled_and_depends_on_the_seed_alone():
    first, again, other = (names(build_fleet(THREE, 60, seed, Path())) for seed in (7, 7, 8))
    assert first == again != other
    assert first != sorted(first, key=list(THREE).index)


def test_a_partition_has_its_profile():
    fleet = build_fleet(THREE, 9, 3, Path())
    assert [fleet.profile(partition).name for partition in range(9)] == names(fleet)
    with pytest.raises(AssertionError):
        fleet.profile(9)


def test_a_board_with_no_share_gets_no_client():
    assert "rpi-4b" not in names(build_fleet({"jetson-tx2": 1.0, "rpi-4b": 0.0}, 7, 0, Path()))


@pytest.mark.parametrize("shares", [{}, {"jetson-tx2": 0.0}, {"jetson-tx2": 2.0, "rpi-4b": -1.0}])
def test_shares_that_cannot_be_dealt_are_refused(shares):
    with pytest.raises(UserError, match="expected a device with a positive share"):
        build_fleet(shares, 3, 0, Path())


def test_an_unknown_board_is_refused():
    with pytest.raises(UserError, match="unknown device 'jetson-orin'"):
        build_fleet({"jetson-orin": 1.0}, 3, 0, Path())


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
