"""Transfers share the server's line fairly; one alone is not touched, and none is faster for company."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.billing.contention import Transfer, shared_seconds


def transfer(num_bytes, alone_seconds, start_seconds=0.0):
    return Transfer(start_seconds=start_seconds, num_bytes=num_bytes, alone_seconds=alone_seconds)


TRANSFERS = st.lists(
    st.builds(transfer, st.integers(0, 10**9), st.floats(0.01, 1e4), st.floats(0, 1e4)), min_size=1, max_size=12
)
CAPACITY = st.floats(1e2, 1e9)


def test_a_line_without_limit_holds_nobody_back():
    assert shared_seconds([transfer(100, 1.0), transfer(10**12, 2.0)], None) == [1.0, 2.0]


def test_nothing_to_transfer_takes_no_time():
    assert shared_seconds([], 100.0) == []


def test_two_alike_take_twice_as_long_on_a_line_as_fast_as_one():
    assert shared_seconds([transfer(100, 1.0), transfer(100, 1.0)], 100.0) == [2.0, 2.0]


def test_what_a_slow_client_leaves_goes_to_the_others():
    # 40 B/s is all the first takes; of 100 B/s that leaves 60 for the second, which could take 100.
    slow, fast = shared_seconds([transfer(400, 10.0), transfer(300, 3.0)], 100.0)
    assert slow == 10.0
    assert fast == pytest.approx(5.0)


def test_the_rest_gets_faster_when_one_is_done():
    # Both at 50 B/s until the first is done after 2 s; the second has 200 of 300 bytes left and goes on at 100 B/s.
    assert shared_seconds([transfer(100, 1.0), transfer(300, 3.0)], 100.0) == pytest.approx([2.0, 4.0])


def test_one_that_joins_later_takes_its_share_from_then_on():
    # The first has 100 B/s for 1 s and 50 B/s from then on; both end with 400 bytes sent, at second 4.
    first, second = shared_seconds([transfer(250, 2.5), transfer(150, 1.5, start_seconds=1.0)], 100.0)
    assert (first, second) == (pytest.approx(4.0), pytest.approx(3.0))


def test_those_that_do_not_meet_do_not_hold_each_other_back():
    assert shared_seconds([transfer(100, 1.0), transfer(100, 1.0, start_seconds=1.0)], 100.0) == [1.0, 1.0]


def test_one_alone_is_slowed_only_by_the_line_itself():
    assert shared_seconds([transfer(100, 1.0)], 50.0) == [2.0]


def test_what_has_no_bytes_takes_its_latency_and_no_share():
    assert shared_seconds([transfer(0, 0.5), transfer(100, 1.0)], 100.0) == [0.5, 1.0]


def test_a_link_that_takes_no_time_is_held_back_by_the_line():
    assert shared_seconds([transfer(100, 0.0), transfer(100, 0.0)], 100.0) == [2.0, 2.0]


@given(TRANSFERS, CAPACITY)
def test_none_is_faster_than_alone(transfers, capacity):
    for each, seconds in zip(transfers, shared_seconds(transfers, capacity), strict=True):
        assert seconds >= each.alone_seconds


@given(st.builds(transfer, st.integers(0, 10**9), st.floats(0.01, 1e4), st.floats(0, 1e4)), CAPACITY)
def test_one_alone_takes_what_it_takes_where_the_line_is_as_fast_as_its_link(one, capacity):
    line = max(capacity, one.num_bytes / one.alone_seconds)
    assert shared_seconds([one], line) == [one.alone_seconds]


@given(TRANSFERS, CAPACITY)
def test_together_they_are_never_faster_than_the_line(transfers, capacity):
    spans = [(each.start_seconds, each.start_seconds + seconds, each.num_bytes)
             for each, seconds in zip(transfers, shared_seconds(transfers, capacity), strict=True)]  # fmt: skip
    for begin in (start for start, _, _ in spans):
        for end in (end for _, end, _ in spans):
            within = sum(num_bytes for start, stop, num_bytes in spans if begin <= start and stop <= end)
            assert within <= capacity * (max(0.0, end - begin) + 1e-9 * end)  # the slack is for sums of floats


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=12), CAPACITY)
def test_a_line_that_is_the_bottleneck_is_never_idle_until_all_bytes_are_through(sizes, capacity):
    transfers = [transfer(size, size / (2 * capacity)) for size in sizes]
    assert max(shared_seconds(transfers, capacity)) == pytest.approx(sum(sizes) / capacity)


@given(TRANSFERS, CAPACITY, st.floats(1, 10))
def test_a_faster_line_holds_nobody_back_longer(transfers, capacity, factor):
    slow, fast = (shared_seconds(transfers, line) for line in (capacity, capacity * factor))
    assert all(few <= many * (1 + 1e-9) for few, many in zip(fast, slow, strict=True))


@given(TRANSFERS, CAPACITY)
def test_the_order_they_are_listed_in_does_not_matter(transfers, capacity):
    backwards = shared_seconds(transfers[::-1], capacity)[::-1]
    assert shared_seconds(transfers, capacity) == pytest.approx(backwards, rel=1e-6)
