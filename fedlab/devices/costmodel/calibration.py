"""How near the roofline comes to a board's own tables, and the efficiency with which it comes nearest.

Only tables that were measured on the board itself are compared: published or measured ones. The fit makes the largest
relative error of all their points as small as it can be; it has two figures to choose, `efficiency` and `step_seconds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fedlab.devices.costmodel.operators import operators_of
from fedlab.devices.costmodel.roofline import ProcessorRates, rates_of
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import DepthTable, Provenance, TableName, Tables
from fedlab.workload.passes import WHOLE, TrainedSpec, bottleneck
from fedlab.workload.shape import ModelShape, TabledFamily
from fedlab.workload.workload import Step, steps_of, training_passes

_SURE = ("published", "measured")
_GRID = np.geomspace(0.01, 1.0, 200)
_REFINEMENTS = 3


@dataclass(frozen=True, kw_only=True)
class TablePoint:
    """A figure of a table: what it is of, and the seconds of a batch."""

    family: TabledFamily
    table: TableName
    depth: int
    step: Step
    shape: ModelShape
    seconds: float


class Fit(NamedTuple):
    """The two figures that a fit chooses, and the largest relative error that they leave."""

    efficiency: float
    step_seconds: float
    worst_error: float


def table_points(profile: DeviceProfile) -> list[TablePoint]:
    """List the points of a board's own tables, those of its processor `default` in fp32."""
    tables = profile.tables("default", "fp32").latency_seconds
    return [
        _point(tables, family, name, depth)
        for (family, name), table in tables.items()
        if table.provenance.level in _SURE
        for depth in range(len(table.values))
    ]


def relative_errors(profile: DeviceProfile, points: Sequence[TablePoint]) -> list[float]:
    """Return by what share of the table's figure the roofline is above it, or below."""
    return [seconds_of(rates_of(profile, each.step.forward), each) / each.seconds - 1 for each in points]


def seconds_of(rates: ProcessorRates, point: TablePoint) -> float:
    """Return the seconds of a point's batch by the roofline."""
    return rates.step_seconds.value + sum(rates.seconds(each) for each in operators_of(point.step, point.shape))


def fitted(profile: DeviceProfile, points: Sequence[TablePoint]) -> Fit:
    """Return the efficiency and the seconds of a step with which the roofline comes nearest to some points."""
    rates = rates_of(profile, points[0].step.forward)
    known = np.array([each.seconds for each in points])

    def at(efficiency: float) -> Fit:
        own = Provenance(level="scaled", source="")
        tried = replace(
            rates,
            efficiency=replace(rates.efficiency, value=efficiency, provenance=own),
            step_seconds=replace(rates.step_seconds, value=0.0),
        )
        return _best_step(efficiency, np.array([seconds_of(tried, each) for each in points]), known)

    found = min((at(float(each)) for each in _GRID), key=lambda fit: fit.worst_error)
    width = float(_GRID[1] / _GRID[0])
    for _ in range(_REFINEMENTS):
        near = found.efficiency * np.geomspace(1 / width, width, 9)
        found = min((at(float(each)) for each in near if each <= 1), key=lambda fit: fit.worst_error)
        width **= 0.25
    return found


def _best_step(efficiency: float, computing: np.ndarray, known: np.ndarray) -> Fit:
    """Return the fit of an efficiency: the largest error is convex in the seconds of a step, so that thirds find it."""
    low, high = 0.0, float(known.max())

    def worst(step_seconds: float) -> float:
        return float(np.abs((computing + step_seconds) / known - 1).max())

    for _ in range(60):
        third = (high - low) / 3
        if worst(low + third) <= worst(high - third):
            high -= third
        else:
            low += third
    return Fit(efficiency, (low + high) / 2, worst((low + high) / 2))


def _point(tables: Tables, family: TabledFamily, name: TableName, depth: int) -> TablePoint:
    table = tables[family, name]
    passes = training_passes(
        batches=1,
        cached_batches=1 if name == "cached_adapter" else 0,
        batch_size=table.point.batch_size,
        input_shape=(table.point.sequence_length,),
        model_blocks=table.shape.blocks,
        depth=depth,
        trained=_trained(tables, family, table, name),
    )
    [step] = steps_of(passes)
    return TablePoint(family=family, table=name, depth=depth, step=step, shape=table.shape, seconds=table.values[depth])


def _trained(tables: Tables, family: TabledFamily, table: DepthTable, name: TableName) -> TrainedSpec:
    """Return what was trained. A board whose adapters have the figures of whole blocks has none of adapters."""
    full, adapter = tables.get((family, "full")), tables.get((family, "adapter"))
    whole = full is not None and adapter is not None and full.values == adapter.values
    return WHOLE if name == "full" or whole else bottleneck(table.point.width)
