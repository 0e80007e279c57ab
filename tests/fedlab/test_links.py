"""Bandwidths are read with their units, and a faster link never takes longer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.links import Link, constant, parse_bandwidth, per_client


def seconds(link: Link, num_bytes: int, partition_id: int = 0, direction: str = "down") -> float:
    return link.transfer_seconds(num_bytes, direction=direction, partition_id=partition_id, server_round=1)


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("1MB/s", 1e6),
        ("8Mbit/s", 1e6),
        (" 0.1 MB/s ", 1e5),
        ("500 kB/s", 5e5),
        ("2GB/s", 2e9),
        ("1Gbit/s", 125e6),
        ("64kbit/s", 8e3),
        ("1e3B/s", 1e3),
        (1e6, 1e6),
        (250, 250.0),
    ],
)
def test_a_bandwidth_is_read_in_powers_of_1000(text, bytes_per_second):
    assert parse_bandwidth(text) == pytest.approx(bytes_per_second)


@pytest.mark.parametrize(
    "wrong", ["", "fast", "1", "1 MB", "1 mb/s", "1 MiB/s", "-1MB/s", "0MB/s", "1.2.3MB/s", 0, -5, True]
)
def test_a_bandwidth_that_is_none_is_refused_with_the_accepted_forms(wrong):
    with pytest.raises(UserError, match=r"expected a number above zero with a unit of .*MB/s.*Mbit/s"):
        parse_bandwidth(wrong)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_bandwidth_is_finite(wrong):
    with pytest.raises(UserError):
        parse_bandwidth(wrong)


def test_the_default_link_is_the_studys():
    assert seconds(constant(), 438_000_000) == 438.0  # 109.5 M parameters of 4 bytes at 1 MB/s


def test_a_link_is_symmetric_and_adds_its_latency_to_every_message():
    link = constant("2MB/s", latency_seconds=0.5)
    assert seconds(link, 4_000_000, direction="down") == seconds(link, 4_000_000, direction="up") == 2.5


def test_each_client_has_its_own_bandwidth_and_the_list_repeats():
    link = per_client(["1MB/s", "8Mbit/s", 4e6])
    assert [seconds(link, 4_000_000, partition) for partition in range(4)] == [4.0, 4.0, 1.0, 4.0]


@pytest.mark.parametrize("wrong", [[], "1MB/s"])
def test_per_client_wants_a_list(wrong):
    with pytest.raises(UserError, match="expected a list"):
        per_client(wrong)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_latency_is_a_number_from_zero_up(wrong):
    with pytest.raises(UserError, match="latency_seconds"):
        constant(latency_seconds=wrong)


@given(st.floats(1, 1e10), st.floats(1, 1e10), st.integers(0, 10**12))
def test_a_faster_link_never_takes_longer(one, other, num_bytes):
    slow, fast = sorted((one, other))
    assert seconds(constant(fast), num_bytes) <= seconds(constant(slow), num_bytes)


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_more_bytes_never_take_less_time(num_bytes, more):
    assert seconds(constant(), num_bytes) <= seconds(constant(), num_bytes + more)
