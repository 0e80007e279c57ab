"""Simulated time passes when told to; forks run side by side and end together."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.common.clock import Clock, VirtualClock, WallClock, seconds_between, stopwatch, today


def test_simulated_time_starts_at_zero_and_adds_up():
    clock = VirtualClock()
    assert clock.now() == 0
    clock.advance(1.5)
    clock.advance(0)
    clock.advance(2)
    assert clock.now() == 3.5


def test_lanes_start_at_now_and_run_apart():
    clock = VirtualClock()
    clock.advance(10)
    clock.fork(["shallow", "deep"])
    clock.advance(5, "deep")
    assert (clock.now("shallow"), clock.now("deep"), clock.now()) == (10, 15, 10)


def test_a_join_waits_for_the_slowest_lane():
    clock = VirtualClock()
    clock.fork(["shallow", "deep"])
    clock.advance(3, "shallow")
    clock.advance(5, "deep")
    clock.join(4)
    assert clock.now() == 5


def test_a_join_waits_for_the_end_of_the_budget():
    clock = VirtualClock()
    clock.advance(100)
    clock.fork(["shallow"])
    clock.advance(3, "shallow")
    clock.join(160)
    assert clock.now() == 160


def test_a_join_never_goes_back():
    clock = VirtualClock()
    clock.advance(7)
    clock.join(2)
    assert clock.now() == 7


@pytest.mark.parametrize("clock", [VirtualClock(), WallClock()])
def test_lanes_vanish_at_the_join_and_can_be_forked_again(clock: Clock):
    clock.fork(["wide"])
    clock.join(0)
    with pytest.raises((KeyError, AssertionError)):
        clock.now("wide")
    clock.fork(["wide"])
    clock.advance(0, "wide")


@pytest.mark.parametrize("clock", [VirtualClock(), WallClock()])
def test_a_forked_clock_cannot_be_forked(clock: Clock):
    clock.fork(["shallow", "deep"])
    with pytest.raises(RuntimeError, match="join deep, shallow first"):
        clock.fork(["wide"])


@pytest.mark.parametrize("clock", [VirtualClock(), WallClock()])
@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_time_only_passes_forwards(clock: Clock, seconds):
    with pytest.raises(AssertionError):
        clock.advance(seconds)


@pytest.mark.parametrize("clock", [VirtualClock(), WallClock()])
@pytest.mark.parametrize("lanes", [[], ["deep", "deep"]])
def test_lanes_are_some_and_distinct(clock: Clock, lanes):
    with pytest.raises(AssertionError):
        clock.fork(lanes)


def test_a_state_survives_json_and_goes_on_where_it_was():
    clock, again = VirtualClock(), VirtualClock()
    clock.advance(2)
    clock.fork(["shallow", "deep"])
    clock.advance(3, "deep")
    again.restore(json.loads(json.dumps(clock.state())))
    clock.advance(1, "deep")
    assert (again.now(), again.now("shallow"), again.now("deep")) == (2, 2, 5)
    again.join(0)
    assert again.now() == 5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.floats(0, 1e6), st.floats(0, 1e7))
def test_a_join_is_never_before_any_lane_or_the_budgets_end(steps, start, at_least):
    clock = VirtualClock()
    clock.advance(start)
    lanes = [str(index) for index in range(len(steps))]
    clock.fork(lanes)
    for lane, step in zip(lanes, steps, strict=True):
        clock.advance(step, lane)
    ends = [clock.now(lane) for lane in lanes]
    clock.join(at_least)
    assert clock.now() == max(*ends, at_least)


def test_real_time_cannot_be_pushed():
    clock = WallClock()
    clock.advance(1e9)
    clock.fork(["deep"])
    clock.advance(1e9, "deep")
    assert 0 <= clock.now("deep") < 1e9
    clock.join(1e9)
    assert clock.now() < 1e9


def test_real_time_goes_on_from_a_restored_state():
    clock = WallClock()
    clock.restore({"main": 1e9, "lanes": {"deep": 1e9}})
    assert clock.now("deep") >= 1e9
    assert clock.state()["main"] >= 1e9
    assert list(clock.state()["lanes"]) == ["deep"]


def test_a_stopwatch_never_goes_back():
    elapsed = stopwatch()
    assert 0 <= elapsed() <= elapsed()


def test_moments_lie_so_many_seconds_apart():
    assert seconds_between("2025-03-31T23:59:30+00:00", "2025-04-01T00:01:00.5+00:00") == 90.5


def test_today_is_a_date():
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", today())
