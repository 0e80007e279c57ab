"""Pareto fronts: which methods reach an accuracy at a cost that no other one beats."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from fedlab.compare.grouping import scope
from fedlab.compare.measurements import Measurement
from fedlab.compare.summary import SummaryRow

CostKind = Literal["time", "energy", "traffic", "memory"]

_COSTS: Mapping[CostKind, Callable[[Measurement], float]] = {
    "time": lambda each: each.seconds,
    "energy": lambda each: each.joules,
    "traffic": lambda each: float(each.num_bytes),
}


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """An accuracy and its cost, means over the seeds; `on_front` if no method has more accuracy for as little cost."""

    row: int  # the place of the method in the comparison
    scope: str  # of what accuracies can be held against each other
    server_round: int | None  # None: of the whole run
    accuracy: float
    cost: float
    on_front: bool = False


def front_points(rows: Sequence[SummaryRow], kind: CostKind) -> list[FrontPoint]:
    """Return the points of all methods, each method's in the order of its rounds.

    A method's points are the rounds that all its seeds have measured and in which the best accuracy so far, the mean
    over seeds, has grown. Memory is of whole runs: one point a method. Where a cost is not known there is no point.
    """
    found = [point for at, row in enumerate(rows) for point in _points(at, row, kind)]
    best = {id(each) for each in _front(found)}
    return [replace(each, on_front=id(each) in best) for each in found]


def _points(at: int, row: SummaryRow, kind: CostKind) -> list[FrontPoint]:
    of = scope(row.setting_keys)
    if kind == "memory":
        peaks = [run.peak_memory_bytes for run in row.runs if run.peak_memory_bytes]
        if not peaks:
            return []
        return [FrontPoint(row=at, scope=of, server_round=None, accuracy=row.best.mean, cost=fmean(peaks))]
    points: list[FrontPoint] = []
    for server_round, accuracy, cost in _best_so_far(row.curves, _COSTS[kind]):
        if cost > 0 and (not points or accuracy > points[-1].accuracy):
            points.append(FrontPoint(row=at, scope=of, server_round=server_round, accuracy=accuracy, cost=cost))
    return points


def _best_so_far(
    curves: Sequence[Sequence[Measurement]], cost: Callable[[Measurement], float]
) -> Iterable[tuple[int, float, float]]:
    """Yield the rounds that all seeds have measured, with the best accuracy so far and the cost, means over seeds."""
    by_round = [{each.server_round: each for each in curve} for curve in curves]
    common = sorted(set.intersection(*(set(each) for each in by_round))) if by_round else []
    best = [max_so_far(curve) for curve in curves]
    for server_round in common:
        accuracy = fmean(each[server_round] for each in best)
        yield server_round, accuracy, fmean(cost(each[server_round]) for each in by_round)


def max_so_far(curve: Iterable[Measurement]) -> dict[int, float]:
    """Return the best accuracy up to each measured round."""
    found, best = {}, 0.0
    for each in curve:
        best = max(best, each.accuracy)
        found[each.server_round] = best
    return found


def _front(points: Iterable[FrontPoint]) -> list[FrontPoint]:
    """Return the points that no other point of their scope beats in accuracy at the same or a smaller cost."""
    highest: dict[str, float] = {}
    found = []
    for each in sorted(points, key=lambda point: (point.cost, -point.accuracy)):
        if each.accuracy > highest.get(each.scope, -1.0):
            highest[each.scope] = each.accuracy
            found.append(each)
    return found
