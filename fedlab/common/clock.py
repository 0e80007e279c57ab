"""The clock of a run, simulated or real: a main line that can fork into lanes that run in parallel."""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Clock(Protocol):
    """Seconds since the start of the run.

    Without a `lane`, methods refer to the main line. Lanes exist between `fork` and `join`.
    """

    def now(self, lane: str | None = None) -> float:
        """Return the seconds since the run's start."""
        ...

    def latest(self) -> float:
        """Return the seconds of the line that is furthest ahead."""
        ...

    def lanes(self) -> frozenset[str]:
        """Return the lanes that are running."""
        ...

    def advance(self, seconds: float, lane: str | None = None) -> None:
        """Let simulated time pass; a real clock ignores this."""
        ...

    def fork(self, lanes: Sequence[str]) -> None:
        """Start lanes at the time of the main line; raises RuntimeError while other lanes are running."""
        ...

    def join(self, at_least: float) -> None:
        """End all lanes; the main line continues at the latest of them and `at_least` (seconds since the start)."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state of the clock as plain values, for a checkpoint."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state returned by `state`."""
        ...


class VirtualClock:
    """Simulated time: it passes only in `advance` and `join`, and never backwards."""

    def __init__(self) -> None:
        self._main = 0.0
        self._lanes: dict[str, float] = {}

    def now(self, lane: str | None = None) -> float:
        """Return the simulated seconds of the main line or a lane."""
        return self._main if lane is None else self._lanes[lane]

    def latest(self) -> float:
        """Return the simulated seconds of the line that is furthest ahead."""
        return max(self._main, *self._lanes.values()) if self._lanes else self._main

    def lanes(self) -> frozenset[str]:
        """Return the lanes that are running."""
        return frozenset(self._lanes)

    def advance(self, seconds: float, lane: str | None = None) -> None:
        """Move the main line or a lane forwards."""
        _check_seconds(seconds)
        if lane is None:
            self._main += seconds
        else:
            self._lanes[lane] += seconds

    def fork(self, lanes: Sequence[str]) -> None:
        """Start each lane at the time of the main line."""
        _check_fork(lanes, self._lanes)
        self._lanes = dict.fromkeys(lanes, self._main)

    def join(self, at_least: float) -> None:
        """End the lanes; the main line never goes back, even if `at_least` is in the past."""
        self._main = max(at_least, self._main, *self._lanes.values())
        self._lanes = {}

    def state(self) -> dict[str, Any]:
        """Return the main line's seconds and each lane's."""
        return {"main": self._main, "lanes": dict(self._lanes)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state returned by `state`."""
        self._main = state["main"]
        self._lanes = dict(state["lanes"])


class WallClock:
    """Real time: every lane shows the seconds since the start of the run."""

    def __init__(self) -> None:
        self._elapsed = stopwatch()
        self._before = 0.0  # seconds run before a restore
        self._lanes: set[str] = set()

    def now(self, lane: str | None = None) -> float:
        """Return the real seconds since the run's start."""
        assert lane is None or lane in self._lanes, f"no lane {lane!r}"
        return self._before + self._elapsed()

    def latest(self) -> float:
        """Return the real seconds since the run's start, the same for all lines."""
        return self.now()

    def lanes(self) -> frozenset[str]:
        """Return the lanes that are running."""
        return frozenset(self._lanes)

    def advance(self, seconds: float, lane: str | None = None) -> None:
        """Do nothing, as real time passes by itself."""
        _check_seconds(seconds)
        assert lane is None or lane in self._lanes, f"no lane {lane!r}"

    def fork(self, lanes: Sequence[str]) -> None:
        """Register the lanes; they all show the same real time."""
        _check_fork(lanes, self._lanes)
        self._lanes = set(lanes)

    def join(self, at_least: float) -> None:
        """End the lanes at once; `at_least` is ignored."""
        self._lanes = set()

    def state(self) -> dict[str, Any]:
        """Return the seconds run so far and the lanes."""
        return {"main": self.now(), "lanes": dict.fromkeys(sorted(self._lanes), self.now())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the seconds that a run had when it was interrupted; the time since then does not count."""
        self._before = state["main"]
        self._elapsed = stopwatch()
        self._lanes = set(state["lanes"])


def stopwatch() -> Callable[[], float]:
    """Start a stopwatch: return a function that returns the real seconds since this call."""
    start = time.monotonic()
    return lambda: time.monotonic() - start


def pause(seconds: float) -> None:
    """Sleep for some real seconds."""
    time.sleep(seconds)


def today() -> str:
    """Return the local date, as in 2025-03-31, to date a measurement."""
    return time.strftime("%Y-%m-%d")


def days_from_now(days: int) -> datetime.datetime:
    """Return the moment `days` days from now, for example the end of a certificate's validity."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def days_until(moment: datetime.datetime) -> float:
    """Return the number of days until a moment, negative if it has passed."""
    return (moment - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two moments, both as in 2025-03-31T12:00:00+00:00."""
    return (datetime.datetime.fromisoformat(later) - datetime.datetime.fromisoformat(earlier)).total_seconds()


def age_seconds(path: Path) -> float:
    """Return the seconds since a file was written; raises OSError if it does not exist."""
    return time.time() - path.stat().st_mtime


def _check_seconds(seconds: float) -> None:
    assert 0 <= seconds < float("inf"), f"time cannot advance by {seconds} s"


def _check_fork(lanes: Sequence[str], running: Mapping[str, float] | set[str]) -> None:
    if running:
        raise RuntimeError(f"the clock is forked already: join {', '.join(sorted(running))} first")
    assert lanes, "a fork has lanes"
    assert len(set(lanes)) == len(lanes), f"lanes {list(lanes)} are not distinct"
