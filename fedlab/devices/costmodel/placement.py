"""Where each operator runs: co-scheduling of two processors by unit costs and the cost of crossing between them.

A placement is timed as it would run: an operator starts when its inputs are there and its processor is free, and an
input from the other processor arrives after a switch. The time of a placement is that of its critical path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Placement = tuple[str, ...]  # the processor of each task


@dataclass(frozen=True, kw_only=True)
class PlacedTask:
    """A piece of work: its seconds on each processor that can do it, and the places of the tasks that it waits for.

    `side` work has no task of the chain behind it: it can run beside the chain.
    """

    name: str
    seconds: Mapping[str, float]
    after: tuple[int, ...] = ()
    side: bool = False


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A placement as it runs: when the last task ends, how long each processor computes, and the number of switches."""

    placement: Placement
    seconds: float
    busy_seconds: Mapping[str, float]
    switches: int


def timeline(tasks: Sequence[PlacedTask], placement: Placement, switch_seconds: float) -> Timeline:
    """Return how a placement runs. Tasks are started in their order; those that a task waits for stand before it."""
    free: dict[str, float] = {}
    busy: dict[str, float] = {}
    ends: list[float] = []
    switches = 0
    for task, processor in zip(tasks, placement, strict=True):
        crossings = [placement[each] != processor for each in task.after]
        switches += any(crossings)
        ready = max(
            (ends[each] + crossed * switch_seconds for each, crossed in zip(task.after, crossings, strict=True)),
            default=0.0,
        )
        start = max(ready, free.get(processor, 0.0))
        free[processor] = start + task.seconds[processor]
        busy[processor] = busy.get(processor, 0.0) + task.seconds[processor]
        ends.append(free[processor])
    return Timeline(placement=placement, seconds=max(ends, default=0.0), busy_seconds=busy, switches=switches)


def preferring(tasks: Sequence[PlacedTask], processor: str) -> Placement:
    """Return the placement of all tasks on one processor, those apart that it cannot do."""
    return tuple(processor if processor in task.seconds else next(iter(task.seconds)) for task in tasks)


def co_scheduled(tasks: Sequence[PlacedTask], switch_seconds: float) -> Timeline:
    """Return the fastest placement that is found.

    The chain is placed by unit costs and switches, which a shortest path decides exactly. Then each side task is moved
    where that ends sooner. No processor alone is faster: these placements are candidates as well.
    """
    processors = list(dict.fromkeys(name for task in tasks for name in task.seconds))
    candidates = [preferring(tasks, name) for name in processors]
    candidates.append(_by_shortest_path(tasks, processors, switch_seconds))
    fastest = min((_makespan(tasks, each, switch_seconds), each) for each in candidates)[1]
    best = list(fastest)
    least = _makespan(tasks, best, switch_seconds)
    for at, task in enumerate(tasks):
        if not task.side:
            continue
        for name in task.seconds:
            before = best[at]
            if name == before:
                continue
            best[at] = name
            seconds = _makespan(tasks, best, switch_seconds)
            if seconds < least:
                least = seconds
            else:
                best[at] = before
    return timeline(tasks, tuple(best), switch_seconds)


def _makespan(tasks: Sequence[PlacedTask], placement: Sequence[str], switch_seconds: float) -> float:
    """Return the seconds of a placement alone: `timeline`, for the search, which tries hundreds of them."""
    free = dict.fromkeys(placement, 0.0)
    ends: list[float] = []
    for task, processor in zip(tasks, placement, strict=True):
        start = free[processor]
        for each in task.after:
            ready = ends[each] if placement[each] == processor else ends[each] + switch_seconds
            start = max(start, ready)
        free[processor] = end = start + task.seconds[processor]
        ends.append(end)
    return max(ends, default=0.0)


def _by_shortest_path(tasks: Sequence[PlacedTask], processors: Sequence[str], switch_seconds: float) -> Placement:
    """Return the placement of a chain with the least sum of seconds and switches; side tasks go with the chain."""
    chain = [at for at, task in enumerate(tasks) if not task.side]
    reached: dict[str, tuple[float, tuple[str, ...]]] = {}
    for at in chain:
        reached = {
            name: _cheapest(reached, name, tasks[at].seconds[name], switch_seconds)
            for name in processors
            if name in tasks[at].seconds
        }
    if not reached:
        return preferring(tasks, processors[0])
    _, path = min(reached.values())
    by_place = dict(zip(chain, path, strict=True))
    bounds = list(pairwise([*chain, len(tasks)]))
    for start, end in bounds:
        for at in range(start + 1, end):
            by_place[at] = by_place[start] if by_place[start] in tasks[at].seconds else next(iter(tasks[at].seconds))
    for at in range(chain[0]):
        by_place[at] = next(iter(tasks[at].seconds))
    return tuple(by_place[at] for at in range(len(tasks)))


def _cheapest(
    reached: Mapping[str, tuple[float, tuple[str, ...]]], name: str, seconds: float, switch_seconds: float
) -> tuple[float, tuple[str, ...]]:
    """Return the least cost of a path that goes on at a processor, and the path."""
    if not reached:
        return seconds, (name,)
    ways = [(cost + (before != name) * switch_seconds, path) for before, (cost, path) in reached.items()]
    cost, path = min(ways)
    return cost + seconds, (*path, name)
