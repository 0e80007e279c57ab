"""List the available nodes, and let simulated time pass until enough are available."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from fedlab.common.clock import Clock
from fedlab.common.units import human_seconds
from fedlab.errors import RunFailedError
from fedlab.network.availability import Availability

_LONGEST_WAIT_SECONDS = 30 * 86_400.0  # of simulated time
_MOST_CHANGES = 1_000_000  # of availability, in one wait


class AvailabilityWait:
    """Lists the nodes available at the clock's latest second, in the order of their partitions.

    If fewer are available than the strategy needs (`at_least`, or all nodes), simulated time passes until enough are.
    The list is only recomputed when the availability of a node may have changed, because going through 100,000 nodes
    would take most of a round.
    """

    def __init__(
        self, availability: Availability, *, clock: Clock, partitions: Mapping[int, int], at_least: int = 1
    ) -> None:
        self._availability = availability
        self._clock = clock
        self._partitions = partitions
        self._at_least = at_least
        self._found: Iterable[int] | None = None
        self._ordered: list[int] = []
        self._there: list[int] = []
        self._holds_until = -inf

    def nodes(self, found: Iterable[int], *, server_round: int) -> Sequence[int]:
        """Return the available nodes among those found.

        Raises:
            RunFailedError: too few will ever be available.
        """
        if found != self._found:
            self._found, self._holds_until = found, -inf
            self._ordered = sorted(found, key=self._partitions.__getitem__)
        began = self._clock.latest()
        needed = min(self._at_least, len(self._ordered))
        for _ in range(_MOST_CHANGES):
            if len(there := self._now_there(server_round)) >= needed:
                return there
            self._wait(began, f"{len(there)} of {len(self._ordered)} clients are available and {needed} are needed")
        raise RunFailedError(f"{_MOST_CHANGES} changes of availability, and {needed} clients were never available")

    def leaves_seconds(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return the second at which a client asked now leaves; if that is not later than now, it never answers."""
        return self._availability.until(partition_id, server_round=server_round, at_seconds=at_seconds)

    def _now_there(self, server_round: int) -> list[int]:
        now = self._clock.latest()
        if now >= self._holds_until:
            change = self._availability.next_change(now)
            self._holds_until = inf if change is None else change
            self._there = [
                node
                for node in self._ordered
                if self._availability.available(self._partitions[node], server_round=server_round, at_seconds=now)
            ]
        return self._there

    def _wait(self, began_seconds: float, why: str) -> None:
        """Advance every line of the clock to the next change of availability."""
        change = self._availability.next_change(self._clock.latest())
        if change is None:
            raise RunFailedError(f"{why}: no others will become available")
        if change - began_seconds > _LONGEST_WAIT_SECONDS:
            raise RunFailedError(
                f"{why}: no others became available in {human_seconds(_LONGEST_WAIT_SECONDS)} of simulated time"
            )
        for lane in (None, *sorted(self._clock.lanes())):
            self._clock.advance(max(0.0, change - self._clock.now(lane)), lane)
