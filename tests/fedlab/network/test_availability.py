"""Clients come and go as their schedules say, again and again, and a dropout is drawn for each client and round."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.network.availability import (
    Availability,
    GuardedAvailability,
    Schedule,
    always,
    bernoulli,
    schedule_of_times,
    scheduled,
    trace,
)

HEADER = "partition_id,on_seconds,off_seconds\n"
TIMES = st.lists(
    st.tuples(st.integers(0, 99), st.integers(1, 100)).filter(lambda time: time[0] < time[1]), min_size=1, max_size=6
)
SECONDS = st.integers(0, 4000).map(lambda quarters: quarters / 4)


def there(availability: Availability, at: float, partition_id: int = 0, server_round: int = 1) -> bool:
    return availability.available(partition_id, server_round=server_round, at_seconds=at)


def until(availability: Availability, at: float, partition_id: int = 0, server_round: int = 1) -> float:
    return availability.until(partition_id, server_round=server_round, at_seconds=at)


def coming(times: list[tuple[float, float]], period: float | None = 100) -> Availability:
    return scheduled([schedule_of_times(times, period)])


@pytest.fixture
def written(tmp_path):
    """Write a trace and return the options that name it."""

    def write(text: str) -> dict:
        (tmp_path / "clients.csv").write_text(text)
        return {"path": "clients.csv", "base_folder": str(tmp_path)}

    return write


def test_clients_are_always_there_unless_something_else_is_said():
    assert there(always(), 1e9)
    assert until(always(), 5) == math.inf
    assert always().next_change(5) is None


def test_who_drops_out_can_be_asked_but_is_gone_at_once():
    silent = bernoulli(dropout=1.0)
    assert there(silent, 7)
    assert until(silent, 7) == 7
    assert silent.next_change(7) is None
    assert until(bernoulli(dropout=0.0), 7) == math.inf


def test_the_coin_is_thrown_for_each_client_and_round_and_shows_the_probability():
    coins = bernoulli(dropout=0.3, seed=4)
    found = {
        (client, server_round): until(coins, 0, client, server_round) == 0
        for client in range(50)
        for server_round in range(40)
    }
    assert sum(found.values()) / len(found) == pytest.approx(0.3, abs=0.03)
    again = bernoulli(dropout=0.3, seed=4)
    assert all((until(again, 9.0, *key) == 9.0) == dropped for key, dropped in found.items())
    other = bernoulli(dropout=0.3, seed=5)
    assert any((until(other, 0, *key) == 0) != dropped for key, dropped in found.items())


@pytest.mark.parametrize("wrong", [-0.1, 1.1, "often", True, math.nan])
def test_a_dropout_is_a_probability(wrong):
    with pytest.raises(UserError, match="expected a probability from 0 to 1"):
        bernoulli(dropout=wrong)


def test_a_client_is_there_in_its_times_and_they_come_again():
    client = coming([(10, 30), (50, 60)])
    assert [there(client, at) for at in (0, 10, 29, 30, 49, 50, 60, 110, 130, 1e6 + 55)] == [
        *(False, True, True, False, False, True, False),
        *(True, False, True),
    ]
    assert [until(client, at) for at in (10, 29.5, 55, 110, 40)] == pytest.approx([30, 30, 60, 130, 40])
    assert [client.next_change(at) for at in (0, 10, 30, 59, 60, 99)] == pytest.approx([10, 30, 50, 60, 110, 110])


def test_without_a_period_a_client_stays_away_after_its_last_time():
    client = coming([(10, 30)], period=None)
    assert [there(client, at) for at in (0, 10, 30, 110)] == [False, True, False, False]
    assert client.next_change(10) == pytest.approx(30)
    assert client.next_change(30) is None


def test_a_time_that_reaches_over_the_end_of_the_period_is_one():
    client = coming([(0, 20), (80, 100)])
    assert until(client, 90) == pytest.approx(120)
    assert client.next_change(90) == pytest.approx(120)


def test_a_time_that_ends_with_the_period_ends_there():
    client = coming([(80, 100)])
    assert until(client, 90) == pytest.approx(100)
    assert [there(client, at) for at in (0, 79, 80, 99, 100, 180)] == [False, False, True, True, False, True]
    assert client.next_change(90) == pytest.approx(100)
    assert client.next_change(100) == pytest.approx(180)


def test_a_client_that_never_leaves_is_there_for_ever():
    client = coming([(0, 60), (60, 100)])
    assert until(client, 70) == math.inf
    assert client.next_change(70) is None


def test_times_that_overlap_are_joined():
    assert list(schedule_of_times([(5, 10), (1, 6), (10, 12), (20, 21)], 50).changes_seconds) == [1, 12, 20, 21]


def test_the_next_change_is_that_of_any_client_whatever_its_period():
    clients = scheduled([schedule_of_times([(10, 30)], 100), schedule_of_times([(3, 7)], 40)])
    assert [clients.next_change(at) for at in (0, 3, 7, 10, 30, 43, 47)] == pytest.approx([3, 7, 10, 30, 43, 47, 83])


def test_a_change_is_not_missed_by_the_rounding_of_simulated_time():
    client = coming([(0.1, 0.2)], period=0.3)
    now = 0.0
    for place in range(1, 2001):
        now = client.next_change(now)
        assert there(client, now) == bool(place % 2)
    assert now == pytest.approx(0.3 * 1000 - 0.1)


def test_a_file_gives_each_client_its_times_and_clients_beyond_it_start_over(written):
    clients = trace(**written(HEADER + "7,50,60\n2,0,5\n7,10,20\n"), period_seconds=100)
    assert [there(clients, 2, partition) for partition in range(4)] == [True, False, True, False]
    assert [there(clients, 115, partition) for partition in range(4)] == [False, True, False, True]


def test_a_file_can_give_each_client_a_period_of_its_own(written):
    clients = trace(**written("partition_id,on_seconds,off_seconds,period_seconds\n0,0,5,10\n1,0,5,20\n2,0,5,\n"))
    assert [there(clients, 12, partition) for partition in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "period", "said"),
    [
        (HEADER, None, "no rows"),
        ("partition_id,on_seconds\n0,1\n", None, "line 1: no column off_seconds"),
        (HEADER + "0,5,5\n", None, "line 2: off_seconds is 5, expected more than on_seconds, 5"),
        (HEADER + "0,-1,5\n", None, "line 2: on_seconds is -1, expected a number from 0 up"),
        (HEADER + "0,1,2\n0,5,11\n", 10, "line 3: off_seconds is 11, expected at most the period, 10 s"),
        (HEADER + "0,5,11\n", -10, "period_seconds is -10, expected a number above 0"),
        (
            "partition_id,on_seconds,off_seconds,period_seconds\n0,1,2,9\n0,3,4,8\n",
            None,
            "line 3: period_seconds differs",
        ),
    ],
)
def test_a_line_that_cannot_be_is_named(written, text, period, said):
    with pytest.raises(UserError) as caught:
        trace(**written(text), period_seconds=period)
    assert said in str(caught.value)


@given(TIMES, SECONDS)
def test_a_client_is_there_exactly_in_one_of_its_times(times, at):
    within = at % 100
    assert there(coming(times), at) == any(on <= within < off for on, off in times)


@given(TIMES, SECONDS)
def test_a_client_stays_until_it_goes(times, at):
    client = coming(times)
    end = until(client, at)
    assume(math.isfinite(end))
    assert (end > at) == there(client, at)
    if end > at:
        assert not there(client, end)
        assert there(client, (at + end) / 2)


@given(st.lists(TIMES, min_size=1, max_size=3), SECONDS)
def test_nothing_changes_before_the_next_change(clients, at):
    availability = scheduled(
        [schedule_of_times(times, 50 + 50 * place) for place, times in enumerate(_fitted(clients))]
    )
    change = availability.next_change(at)
    later = at + 400 if change is None else change
    assert later > at
    for step in range(8):
        moment = at + (later - at) * step / 8
        assert all(
            there(availability, moment, client) == there(availability, at, client) for client in range(len(clients))
        )


def _fitted(clients: list[list[tuple[int, int]]]) -> list[list[tuple[float, float]]]:
    """Halve the times of the first client, whose period is half as long."""
    return [[(on / 2, off / 2) for on, off in clients[0]], *clients[1:]]


def test_schedules_are_availability():
    schedule = Schedule(changes_seconds=(), available_at_first=True, period_seconds=None)
    assert isinstance(scheduled([schedule]), Availability)
    assert until(scheduled([schedule]), 3) == math.inf


class Mine:
    """An availability whose methods return these."""

    def __init__(self, *, available=True, until=math.inf, change=None):
        self._available, self._until, self._change = available, until, change

    def available(self, partition_id, *, server_round, at_seconds):
        return self._available

    def until(self, partition_id, *, server_round, at_seconds):
        return self._until

    def next_change(self, at_seconds):
        return self._change


def guarded(**returns):
    return GuardedAvailability(availability=Mine(**returns), place="availability.name = 'x'")


@pytest.mark.parametrize(
    ("returns", "said"),
    [
        ({"available": 3}, "available returned 3, expected True or False"),
        ({"until": math.nan}, "until returned nan, expected a second from 10 on, or infinity"),
        ({"until": 9.0}, "until returned 9.0, expected a second from 10 on, or infinity"),
        ({"change": 10.0}, "next_change returned 10.0, expected a second after 10, or None"),
        ({"change": 3}, "next_change returned 3, expected a second after 10, or None"),
        ({"change": "soon"}, "next_change returned 'soon', expected a second after 10, or None"),
    ],
    ids=str,
)
def test_an_availability_that_returns_nonsense_is_named_with_its_method_and_the_value(returns, said):
    mine = guarded(**returns)
    with pytest.raises(UserError, match=f"^availability.name = 'x': {said}$"):
        there(mine, 10.0), until(mine, 10.0), mine.next_change(10.0)


def test_a_sound_availability_is_asked():
    mine = guarded(available=np.bool_(True), until=np.float32(12.5), change=math.inf)
    assert (there(mine, 10.0), until(mine, 10.0), mine.next_change(10.0)) == (True, 12.5, None)
