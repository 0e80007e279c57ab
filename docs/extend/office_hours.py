"""Clients that are there for the first hours of each simulated day."""

from dataclasses import dataclass

from fedlab.api import Availability

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class OfficeHours:
    open_seconds: float

    def available(self, partition_id: int, *, server_round: int, at_seconds: float) -> bool:
        return at_seconds % DAY_SECONDS < self.open_seconds

    def until(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        return at_seconds - at_seconds % DAY_SECONDS + self.open_seconds

    def next_change(self, at_seconds: float) -> float | None:
        now = at_seconds % DAY_SECONDS
        return at_seconds - now + (self.open_seconds if now < self.open_seconds else DAY_SECONDS)


def office_hours(*, hours: float = 8) -> Availability:
    return OfficeHours(open_seconds=3600 * hours)
