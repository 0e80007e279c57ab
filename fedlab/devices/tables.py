"""What was measured on a board: figures by depth, the batch and the encoder they are for, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass as checked_dataclass

from fedlab.workload.shape import Family, ModelShape

TableName = Literal["full", "adapter", "cached_adapter"]
Quantity = Literal["latency_seconds", "peak_memory_bytes"]
ProvenanceLevel = Literal["published", "scaled", "assumed", "measured"]

_FROM_SUREST: tuple[ProvenanceLevel, ...] = ("measured", "published", "scaled", "assumed")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a figure comes from: its level of certainty, and the source or the reason in words."""

    level: ProvenanceLevel
    source: str


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


Tables = Mapping[tuple[Family, TableName], DepthTable]


@dataclass(frozen=True, kw_only=True)
class FormatTables:
    """What a processor needs for one batch in one number format."""

    latency_seconds: Tables
    peak_memory_bytes: Tables


def least_sure(*levels: ProvenanceLevel) -> ProvenanceLevel:
    """Return the least sure of some levels: measured is surer than published, scaled and assumed, in this order."""
    return max(levels, key=_FROM_SUREST.index)
