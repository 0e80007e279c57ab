"""Availability: when a client can be asked for work, and when it leaves."""

import math
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from fedlab.common.csv_numbers import NumberRow, number_rows
from fedlab.common.seeds import generator
from fedlab.common.units import is_number
from fedlab.config.guard import as_number, guarded, refuse_returned
from fedlab.errors import UserError

_EARLY_SECONDS = 1e-6  # a change takes effect this much earlier, so that rounded simulated times do not miss it
_COLUMNS = ("partition_id", "on_seconds", "off_seconds")


@runtime_checkable
class Availability(Protocol):
    """Which clients are available at a second of simulated time."""

    def available(self, partition_id: int, *, server_round: int, at_seconds: float) -> bool:
        """Tell whether the client may be asked for work now."""
        ...

    def until(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return the second at which a client that is asked now leaves.

        Infinity means that it stays; `at_seconds` itself means that it never answers.
        """
        ...

    def next_change(self, at_seconds: float) -> float | None:
        """Return the next second after `at_seconds` at which any client may come or leave, None if there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class AlwaysAvailable:
    """Clients that are always available."""

    def available(self, partition_id: int, *, server_round: int, at_seconds: float) -> bool:
        """Return True."""
        return True

    def until(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return infinity."""
        return math.inf

    def next_change(self, at_seconds: float) -> float | None:
        """Return None."""
        return None


@dataclass(frozen=True, kw_only=True)
class BernoulliDropout(AlwaysAvailable):
    """Clients that can always be asked; each drops out of a round, without an answer, with the same probability."""

    dropout: float
    seed: int

    def until(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return `at_seconds` if the draw of this partition and round is a dropout, else infinity."""
        silent = generator(self.seed, "availability", partition_id, server_round).random() < self.dropout
        return at_seconds if silent else math.inf


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The seconds at which a client changes between available and away, in ascending order from second 0.

    With a period the changes repeat; all of them are below the period.
    """

    changes_seconds: Sequence[float]
    available_at_first: bool
    period_seconds: float | None

    def available(self, at_seconds: float) -> bool:
        """Tell whether the client is available."""
        _, passed = self._look(at_seconds)
        return self.available_at_first != bool(passed % 2)

    def next_change(self, at_seconds: float) -> float | None:
        """Return the next second after `at_seconds` at which it changes, None if it never does again."""
        origin, passed = self._look(at_seconds)
        if passed < len(self.changes_seconds):
            return origin + self.changes_seconds[passed]
        if self.period_seconds is None or not self.changes_seconds:
            return None
        return origin + self.period_seconds + self.changes_seconds[0]

    def _look(self, at_seconds: float) -> tuple[float, int]:
        """Return the second at which the current period began, and the number of its changes that have passed."""
        now = at_seconds + _EARLY_SECONDS
        within = now if self.period_seconds is None else now % self.period_seconds
        return now - within, bisect_right(self.changes_seconds, within)


@dataclass(frozen=True, kw_only=True)
class ScheduledAvailability:
    """Clients with schedules: partition i follows schedule i, modulo the number of schedules."""

    schedules: tuple[Schedule, ...]
    calendars: tuple[Schedule, ...]  # the changes of all schedules of one period, in order

    def available(self, partition_id: int, *, server_round: int, at_seconds: float) -> bool:
        """Tell whether the client is available."""
        return self._schedule(partition_id).available(at_seconds)

    def until(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return when the client leaves next; `at_seconds` if it is away already."""
        schedule = self._schedule(partition_id)
        if not schedule.available(at_seconds):
            return at_seconds
        change = schedule.next_change(at_seconds)
        return math.inf if change is None else change

    def next_change(self, at_seconds: float) -> float | None:
        """Return the next change of any schedule, including schedules that no client follows."""
        changes = (calendar.next_change(at_seconds) for calendar in self.calendars)
        return min((change for change in changes if change is not None), default=None)

    def _schedule(self, partition_id: int) -> Schedule:
        return self.schedules[partition_id % len(self.schedules)]


@dataclass(frozen=True, kw_only=True)
class GuardedAvailability:
    """An availability of the user's own: whatever it raises or returns is one line that begins with `place`."""

    availability: Availability
    place: str

    def available(self, partition_id: int, *, server_round: int, at_seconds: float) -> bool:
        """Return what it returns; raises UserError unless that is True or False."""
        call = partial(self.availability.available, partition_id, server_round=server_round, at_seconds=at_seconds)
        returned = guarded(self.place, "available", call)
        if not isinstance(returned, bool | np.bool_):
            refuse_returned(self.place, "available", returned, "True or False")
        return bool(returned)

    def until(self, partition_id: int, *, server_round: int, at_seconds: float) -> float:
        """Return what it returns; raises UserError unless that is a second from `at_seconds` on, or infinity."""
        call = partial(self.availability.until, partition_id, server_round=server_round, at_seconds=at_seconds)
        returned = guarded(self.place, "until", call)
        second = as_number(returned)
        if second is None or second < at_seconds:
            refuse_returned(self.place, "until", returned, f"a second from {at_seconds:g} on, or infinity")
        return second

    def next_change(self, at_seconds: float) -> float | None:
        """Return what it returns; raises UserError unless that is None or a second after `at_seconds`."""
        returned = guarded(self.place, "next_change", partial(self.availability.next_change, at_seconds))
        second = None if returned is None else as_number(returned)
        if returned is not None and (second is None or second <= at_seconds):
            refuse_returned(self.place, "next_change", returned, f"a second after {at_seconds:g}, or None")
        return None if second == math.inf else second


def always() -> Availability:
    """Make clients that are always available."""
    return AlwaysAvailable()


def bernoulli(dropout: float = 0.1, seed: int = 0) -> Availability:
    """Make clients that each drop out of a round with probability `dropout`."""
    if not is_number(dropout) or not 0 <= dropout <= 1:
        raise UserError(f"availability: dropout is {dropout!r}, expected a probability from 0 to 1")
    return BernoulliDropout(dropout=dropout, seed=seed)


def trace(path: str, period_seconds: float | None = None, base_folder: str = ".") -> Availability:
    """Make clients that are available as recorded in a CSV file; `fedlab import-traces` writes such files.

    A row is an interval in which a client is available: partition_id, on_seconds, off_seconds. The intervals repeat
    after `period_seconds`, which is given for all clients or in a column of that name for each; without a period a
    client is away after its last interval. Partition i follows the i-th of the ids in the file, counted from 0 and
    modulo their number. Raises UserError with file and line if the file has another form.
    """
    if period_seconds is not None and not (is_number(period_seconds) and period_seconds > 0):
        raise UserError(f"availability: period_seconds is {period_seconds!r}, expected a number above 0")
    times: dict[int, list[tuple[float, float]]] = defaultdict(list)
    periods: dict[int, float | None] = {}
    for row in number_rows(Path(base_folder) / Path(path).expanduser(), _COLUMNS, ("period_seconds",)):
        client, period = row.partition_id(), _period(row, period_seconds)
        if periods.setdefault(client, period) != period:
            raise UserError(f"{row.place}: period_seconds differs from an earlier row of this partition_id")
        times[client].append(_time(row, period))
    return scheduled([schedule_of_times(times[client], periods[client]) for client in sorted(times)])


def scheduled(schedules: Sequence[Schedule]) -> ScheduledAvailability:
    """Return the availability that a list of schedules gives."""
    changes: Mapping[float | None, list[Sequence[float]]] = defaultdict(list)
    for schedule in schedules:
        changes[schedule.period_seconds].append(schedule.changes_seconds)
    calendars = [
        Schedule(
            changes_seconds=_numbers(np.unique(np.concatenate(each))), available_at_first=False, period_seconds=period
        )
        for period, each in changes.items()
    ]
    return ScheduledAvailability(schedules=tuple(schedules), calendars=tuple(calendars))


def schedule_of_times(times: Iterable[tuple[float, float]], period_seconds: float | None) -> Schedule:
    """Return the schedule of a client that is available in intervals (from, to) of the period, which may overlap."""
    joined: list[list[float]] = []
    for on, off in sorted(times):
        if joined and on <= joined[-1][1]:
            joined[-1][1] = max(off, joined[-1][1])
        else:
            joined.append([on, off])
    changes = [second for time in joined for second in time]
    if period_seconds is None or not changes or changes[-1] < period_seconds:
        return Schedule(changes_seconds=_numbers(changes), available_at_first=False, period_seconds=period_seconds)
    # The last interval ends with the period: the client leaves at second 0 of the next, unless one begins there.
    changes = changes[1:-1] if changes[0] == 0 else [0.0, *changes[:-1]]
    return Schedule(changes_seconds=_numbers(changes), available_at_first=True, period_seconds=period_seconds)


def _numbers(values: Iterable[float]) -> Sequence[float]:
    """Pack numbers as an array: a file of 100,000 clients has millions of them."""
    return array("d", values)


def _period(row: NumberRow, period_seconds: float | None) -> float | None:
    return row.positive("period_seconds") if "period_seconds" in row.values else period_seconds


def _time(row: NumberRow, period_seconds: float | None) -> tuple[float, float]:
    on, off = row.not_negative("on_seconds"), row.values["off_seconds"]
    if off <= on:
        raise UserError(f"{row.place}: off_seconds is {off:g}, expected more than on_seconds, {on:g}")
    if period_seconds is not None and off > period_seconds:
        raise UserError(f"{row.place}: off_seconds is {off:g}, expected at most the period, {period_seconds:g} s")
    return on, off
