"""What is known of a board: rates, and figures by depth with the batch and the encoder that they are for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass as checked_dataclass

from fedlab.workload.shape import ModelShape, TabledFamily

TableName = Literal["full", "adapter", "cached_adapter"]
Quantity = Literal["latency_seconds", "peak_memory_bytes"]
ProvenanceLevel = Literal["published", "scaled", "assumed", "measured"]

_FROM_SUREST: tuple[ProvenanceLevel, ...] = ("measured", "published", "scaled", "assumed")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a figure comes from: its level of certainty, and the source or the reason in words."""

    level: ProvenanceLevel
    source: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value, and where it comes from; a scaled one names the point it was scaled from."""

    value: float
    provenance: Provenance


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Point:
    """The batch a table was measured with; the defaults are those of the published tables."""

    batch_size: PositiveInt = 4
    sequence_length: PositiveInt = 256
    width: PositiveInt = 32


@dataclass(frozen=True, kw_only=True)
class DepthTable:
    """A quantity for one batch by depth: entry d is for the top d blocks, from 0 to all blocks of the encoder.

    `fixed` is the part of a peak of memory that no batch changes: the process and the weights of the blocks. None: the
    weights alone.
    """

    values: tuple[float, ...]
    shape: ModelShape
    point: Point
    provenance: Provenance
    fixed: float | None = None


Tables = Mapping[tuple[TabledFamily, TableName], DepthTable]


@dataclass(frozen=True, kw_only=True)
class FormatTables:
    """What is known of a processor in one number format.

    The tables say what it needs for one batch. The rates are for work without a table: the operations per second that
    it has at most, and the share of them that products of matrices reach (`fedlab.devices.costmodel.roofline`).
    """

    latency_seconds: Tables
    peak_memory_bytes: Tables
    peak_operations_per_second: Figure | None = None
    efficiency: Figure | None = None


def least_sure(*levels: ProvenanceLevel) -> ProvenanceLevel:
    """Return the least sure of some levels: measured is surer than published, scaled and assumed, in this order."""
    return max(levels, key=_FROM_SUREST.index)
