"""Which nodes can be asked now, and how long to wait for some."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from fedlab.common.clock import Clock
from fedlab.common.units import human_seconds
from fedlab.errors import RunFailedError
from fedlab.network.availability import Availability

_PATIENCE_SECONDS = 30 * 86_400.0  # of simulated time


class AvailabilityWait:
    """Lists the nodes that are there at the clock's latest second, in the order of their partitions.

    Where fewer are there than the strategy needs (`at_least`, or all there are), simulated time passes until they have
    come. The list is made anew only when somebody may have come or gone: looking a hundred thousand nodes over would
    be most of a round.
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
        """Return those of the nodes found that are there.

        Raises:
            RunFailedError: too few will ever be.
        """
        if found != self._found:
            self._found, self._holds_until = found, -inf
            self._ordered = sorted(found, key=self._partitions.__getitem__)
        began = self._clock.latest()
        needed = min(self._at_least, len(self._ordered))
        while len(there := self._now_there(server_round)) < needed:
            self._wait(began, f"{len(there)} of {len(self._ordered)} clients are there and {needed} are needed")
        return there

    def leaves_seconds(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return the second at which a client asked now goes away; if not a later one, it never answers."""
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
        """Let every line of the clock go on to the next change."""
        change = self._availability.next_change(self._clock.latest())
        if change is None:
            raise RunFailedError(f"{why}: no others will ever come")
        if change - began_seconds > _PATIENCE_SECONDS:
            raise RunFailedError(f"{why}: nobody came in {human_seconds(_PATIENCE_SECONDS)} of simulated time")
        for lane in (None, *sorted(self._clock.lanes())):
            self._clock.advance(max(0.0, change - self._clock.now(lane)), lane)
