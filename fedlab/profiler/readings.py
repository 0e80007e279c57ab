"""What was measured of a board, and the profile that comes of it."""

from dataclasses import dataclass, field
from typing import Any

from fedlab.devices.costmodel.transformer import weight_bytes
from fedlab.devices.tables import TableName
from fedlab.profiler.plan import Job, MeasurementPlan, Reading
from fedlab.workload.shape import ModelShape


@dataclass(kw_only=True)
class Readings:
    """The readings by table, depth after depth, and why a table could not be measured to its end."""

    plan: MeasurementPlan
    shape: ModelShape
    by_table: dict[TableName, list[Reading]] = field(default_factory=dict)
    failures: dict[TableName, str] = field(default_factory=dict)

    def add(self, job: Job, found: Reading | str) -> None:
        """Note what a measurement gave, or why it gave nothing."""
        if isinstance(found, str):
            self.failures[job.table] = f"depth {job.depth}: {found}"
        else:
            self.by_table.setdefault(job.table, []).append(found)

    def complete(self) -> dict[TableName, list[Reading]]:
        """Return the tables that have every depth."""
        return {name: found for name, found in self.by_table.items() if len(found) == self.shape.blocks + 1}

    def threads(self) -> int:
        """Return how many threads the batches were computed with."""
        return max((each.threads for found in self.by_table.values() for each in found), default=0)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a profile says of the machine it was measured on; `source` says how, when and with what software."""

    description: str
    memory_bytes: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Power:
    """A board's three powers, and how they are known; without a source they are assumed."""

    computing_watts: float
    communicating_watts: float
    idle_watts: float
    source: str | None


def profile_table(readings: Readings, machine: Machine, power: Power) -> dict[str, Any]:
    """Return the profile's file as a table, its figures to four digits.

    The fixed part of memory is what was resident before the first batch and the weights of the blocks, which are
    mapped and come in as they are used.
    """
    plan, shape, found = readings.plan, readings.shape, readings.complete()
    source = f"{machine.source}, {readings.threads()} thread(s)"
    rounds = f"median of {plan.repeats} rounds of {plan.batches} batches"
    loaded = min((each.loaded_bytes for table in found.values() for each in table), default=0)
    latency = {name: [_four_digits(each.batch_seconds) for each in table] for name, table in found.items()}
    memory = {name: [each.peak_bytes for each in table] for name, table in found.items()}
    return {
        "description": machine.description,
        "measured_at": {
            "batch_size": plan.point.batch_size,
            "sequence_length": plan.point.sequence_length,
            "width": plan.point.width,
            "blocks": shape.blocks,
            "hidden": shape.hidden,
            "intermediate": shape.intermediate,
        },
        "memory_bytes": {
            "value": machine.memory_bytes,
            "provenance": "measured",
            "source": "the memory the operating system has",
        },
        **{key: _power(power, key) for key in ("computing_watts", "communicating_watts", "idle_watts")},
        "latency_seconds": {
            shape.family: {name: _entry(values, f"{source}, {rounds}") for name, values in latency.items()}
        },
        "peak_memory_bytes": {
            shape.family: {
                name: {"fixed": loaded + round(weight_bytes(shape))}
                | _entry(values, f"{source}, most of a fresh process resident")
                for name, values in memory.items()
            }
        },
    }


def _entry(values: list[float] | list[int], source: str) -> dict[str, Any]:
    return {"values": values, "provenance": "measured", "source": source}


def _power(power: Power, key: str) -> dict[str, Any]:
    known = {"provenance": "measured", "source": power.source}
    given = {"provenance": "assumed", "source": "given to fedlab profile-device, which does not measure power"}
    return {"value": getattr(power, key)} | (known if power.source else given)


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")
