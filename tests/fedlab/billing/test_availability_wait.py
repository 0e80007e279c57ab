"""Only nodes that are there are listed; where there are too few, simulated time passes until they come."""

import pytest

from fedlab.billing.availability_wait import AvailabilityWait
from fedlab.common.clock import VirtualClock
from fedlab.errors import RunFailedError
from fedlab.network.availability import always, schedule_of_times, scheduled

PARTITIONS = {901: 2, 17: 0, 333: 3, 250: 1}


def there(*times, period_seconds=None):
    """Return availability of partitions by the (from, to) each is there."""
    return scheduled([schedule_of_times(each, period_seconds) for each in times])


class Counting:
    """Always available; counts how often it is asked."""

    def __init__(self):
        self.asked, self._always = 0, always()

    def available(self, partition_id, *, server_round, at_seconds):
        self.asked += 1
        return True

    def until(self, partition_id, *, server_round, at_seconds):
        return self._always.until(partition_id, server_round=server_round, at_seconds=at_seconds)

    def next_change(self, at_seconds):
        return None


@pytest.fixture
def clock():
    return VirtualClock()


def availability_wait(availability, clock, **options):
    return AvailabilityWait(availability, clock=clock, partitions=PARTITIONS, **options)


def test_nodes_come_in_the_order_of_their_partitions(clock):
    assert availability_wait(always(), clock).nodes(list(PARTITIONS), server_round=1) == [17, 250, 901, 333]


def test_where_nobody_comes_or_goes_the_nodes_are_looked_over_once(clock):
    counting = Counting()
    roll = availability_wait(counting, clock)
    for _ in range(5):
        first = roll.nodes(range(17, 18), server_round=1)
        clock.advance(1000.0)
    assert counting.asked == 1
    assert roll.nodes(range(17, 18), server_round=1) is first


def test_new_nodes_are_checked_for_availability(clock):
    roll = availability_wait(always(), clock)
    assert roll.nodes([901], server_round=1) == [901]
    assert roll.nodes([901, 17], server_round=1) == [17, 901]


def test_nodes_come_and_go_with_the_time(clock):
    roll = availability_wait(there([(0, 10)], [(5, 20)], [(0, 30)], [(12, 30)]), clock)
    seen = []
    for _ in range(3):
        seen.append(roll.nodes(list(PARTITIONS), server_round=1))
        clock.advance(7.0)
    assert seen == [[17, 901], [17, 250, 901], [250, 901, 333]]


def test_who_counts_is_the_clocks_furthest_line(clock):
    clock.fork(["shallow", "deep"])
    clock.advance(6.0, "deep")
    assert availability_wait(there([(0, 5)], [(5, 9)], [(0, 5)], [(0, 9)]), clock).nodes(
        list(PARTITIONS), server_round=1
    ) == [
        250,
        333,
    ]


def test_where_nobody_is_there_time_passes_until_somebody_comes(clock):
    clock.advance(2.0)
    roll = availability_wait(there([(9, 20)], [(8, 20)], [(9, 20)], [(30, 40)]), clock)
    assert roll.nodes(list(PARTITIONS), server_round=1) == [250]
    assert clock.now() == 8.0


def test_time_passes_on_every_line(clock):
    clock.fork(["shallow", "deep"])
    clock.advance(3.0, "deep")
    availability_wait(there([(8, 20)]), clock).nodes([17], server_round=1)
    assert (clock.now(), clock.now("shallow"), clock.now("deep")) == (8.0, 8.0, 8.0)


def test_a_strategy_that_needs_several_gets_them(clock):
    roll = availability_wait(there([(9, 20)], [(8, 20)], [(10, 20)], [(30, 40)]), clock, at_least=3)
    assert roll.nodes(list(PARTITIONS), server_round=1) == [17, 250, 901]
    assert clock.now() == 10.0


def test_no_more_are_waited_for_than_there_are(clock):
    assert availability_wait(always(), clock, at_least=9).nodes([17, 250], server_round=1) == [17, 250]


def test_nobody_ever_coming_ends_the_run(clock):
    clock.advance(50.0)
    with pytest.raises(
        RunFailedError, match="0 of 4 clients are available and 1 are needed: no others will become available"
    ):
        availability_wait(there([(0, 20)]), clock).nodes(list(PARTITIONS), server_round=1)


def test_two_that_are_never_there_together_are_not_waited_for_for_ever(clock):
    roll = availability_wait(there([(0, 40_000)], [(50_000, 80_000)], period_seconds=86_400.0), clock, at_least=2)
    with pytest.raises(RunFailedError, match=r"no others became available in 30\.0 d of simulated time"):
        roll.nodes([17, 250], server_round=1)


def test_it_says_when_a_client_goes_away(clock):
    roll = availability_wait(there([(0, 10)]), clock)
    assert roll.leaves_seconds(0, server_round=1, at_seconds=4.0) == 10.0
    assert roll.leaves_seconds(0, server_round=1, at_seconds=12.0) == 12.0


def test_clients_are_waited_for_30_days_at_most_from_when_the_wait_began(clock):
    days = 30 * 86_400.0
    clock.advance(100.0)
    assert availability_wait(there([(100.0 + days, 1e9)]), clock).nodes([17], server_round=1) == [17]
    assert clock.now() == 100.0 + days


def test_a_client_that_comes_after_30_days_is_not_waited_for(clock):
    clock.advance(100.0)
    with pytest.raises(RunFailedError, match=r"in 30\.0 d of simulated time"):
        availability_wait(there([(101.0 + 30 * 86_400.0, 1e9)]), clock).nodes([17], server_round=1)
    assert clock.now() == 100.0


def test_a_wait_for_changes_without_end_is_given_up(clock, monkeypatch):
    class Flickering(Counting):
        def available(self, partition_id, *, server_round, at_seconds):
            return False

        def next_change(self, at_seconds):
            return at_seconds + 1e-6

    monkeypatch.setattr("fedlab.billing.availability_wait._MOST_CHANGES", 10)
    with pytest.raises(RunFailedError, match="10 changes of availability, and 1 clients were never available"):
        availability_wait(Flickering(), clock).nodes(list(PARTITIONS), server_round=1)
