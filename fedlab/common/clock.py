"""The run's time, simulated or real, on a main line that can fork into lanes running side by side."""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Clock(Protocol):
    """Seconds since the start of the run.

    Without a lane, methods speak of the main line. Lanes exist between `fork` and `join`.
    """

    def now(self, lane: str | None = None) -> float:
        """Return the seconds since the run's start."""
        ...

    def latest(self) -> float:
        """Return the seconds of whichever line is furthest."""
        ...

    def lanes(self) -> frozenset[str]:
        """Return the lanes that are running."""
        ...

    def advance(self, seconds: float, lane: str | None = None) -> None:
        """Let simulated time pass; real time passes by itself."""
        ...

    def fork(self, lanes: Sequence[str]) -> None:
        """Start lanes at the main line's now; raises RuntimeError while other lanes are running."""
        ...

    def join(self, at_least: float) -> None:
        """End all lanes: the main line goes on at the latest of theirs and `at_least` (seconds since the start)."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all there is to restore, as plain values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state returned earlier."""
        ...


class VirtualClock:
    """Simulated time: it passes only when told to, and never backwards."""

    def __init__(self) -> None:
        self._main = 0.0
        self._lanes: dict[str, float] = {}

    def now(self, lane: str | None = None) -> float:
        """Return the simulated seconds of the main line or a lane."""
        return self._main if lane is None else self._lanes[lane]

    def latest(self) -> float:
        """Return the simulated seconds of whichever line is furthest."""
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
        """Start each lane at the main line's now."""
        _check_fork(lanes, self._lanes)
        self._lanes = dict.fromkeys(lanes, self._main)

    def join(self, at_least: float) -> None:
        """End the lanes; the main line never goes back, whatever `at_least` says."""
        self._main = max(at_least, self._main, *self._lanes.values())
        self._lanes = {}

    def state(self) -> dict[str, Any]:
        """Return the main line's seconds and each lane's."""
        return {"main": self._main, "lanes": dict(self._lanes)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state returned earlier."""
        self._main = state["main"]
        self._lanes = dict(state["lanes"])


class WallClock:
    """Real time: every lane shows the seconds since the start, and nothing makes them pass faster."""

    def __init__(self) -> None:
        self._elapsed = stopwatch()
        self._before = 0.0  # seconds run before a restore
        self._lanes: set[str] = set()

    def now(self, lane: str | None = None) -> float:
        """Return the real seconds since the run's start."""
        assert lane is None or lane in self._lanes, f"no lane {lane!r}"
        return self._before + self._elapsed()

    def latest(self) -> float:
        """Return the real seconds since the run's start: all lines run on one time."""
        return self.now()

    def lanes(self) -> frozenset[str]:
        """Return the lanes that are running."""
        return frozenset(self._lanes)

    def advance(self, seconds: float, lane: str | None = None) -> None:
        """Do nothing: real time passes by itself."""
        _check_seconds(seconds)
        assert lane is None or lane in self._lanes, f"no lane {lane!r}"

    def fork(self, lanes: Sequence[str]) -> None:
        """Note the lanes; they all run on the one real time."""
        _check_fork(lanes, self._lanes)
        self._lanes = set(lanes)

    def join(self, at_least: float) -> None:
        """End the lanes, now: nobody waits for `at_least`."""
        self._lanes = set()

    def state(self) -> dict[str, Any]:
        """Return the seconds run so far and the lanes."""
        return {"main": self.now(), "lanes": dict.fromkeys(sorted(self._lanes), self.now())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the seconds a run had when it was interrupted; the pause does not count."""
        self._before = state["main"]
        self._elapsed = stopwatch()
        self._lanes = set(state["lanes"])


def stopwatch() -> Callable[[], float]:
    """Start a stopwatch: return a function that tells the real seconds since this call."""
    start = time.monotonic()
    return lambda: time.monotonic() - start


def pause(seconds: float) -> None:
    """Let real time pass: for what waits for others."""
    time.sleep(seconds)


def today() -> str:
    """Return the date here, as in 2025-03-31: for what is measured in real time to say when."""
    return time.strftime("%Y-%m-%d")


def days_from_now(days: int) -> datetime.datetime:
    """Return the moment so many days after this one: for what is valid for a time."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def days_until(moment: datetime.datetime) -> float:
    """Return how many days there are left until a moment, below 0 if it has passed."""
    return (moment - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one moment to another, both as in 2025-03-31T12:00:00+00:00."""
    return (datetime.datetime.fromisoformat(later) - datetime.datetime.fromisoformat(earlier)).total_seconds()


def age_seconds(path: Path) -> float:
    """Return how long ago a file was written; raises OSError if it is not there."""
    return time.time() - path.stat().st_mtime


def _check_seconds(seconds: float) -> None:
    assert 0 <= seconds < float("inf"), f"time cannot advance by {seconds} s"


def _check_fork(lanes: Sequence[str], running: Mapping[str, float] | set[str]) -> None:
    if running:
        raise RuntimeError(f"the clock is forked already: join {', '.join(sorted(running))} first")
    assert lanes, "a fork has lanes"
    assert len(set(lanes)) == len(lanes), f"lanes {list(lanes)} are not distinct"
