"""What is measured on a board: by which methods, with which batches, and what each measurement is to be of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, get_args

from fedlab.config.plugins import nearest
from fedlab.devices.tables import Point, TableName
from fedlab.errors import UserError
from fedlab.workload.shape import ModelShape

ProfiledMethod = Literal["adapter", "full"]
METHODS: tuple[ProfiledMethod, ...] = get_args(ProfiledMethod)


@dataclass(frozen=True, kw_only=True)
class MeasurementPlan:
    """What is measured. Each figure is the median of `repeats` rounds of `batches` batches, after a warm-up."""

    backbone: str
    methods: tuple[ProfiledMethod, ...]
    point: Point
    batches: int = 4
    repeats: int = 3


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement, in a process of its own: an entry of a table.

    `bundle` is the folder of the prepared encoder and texts, `activations` that of the depth's stored activations,
    of at most `activation_bytes`, which the job of `adapter` leaves for that of `cached_adapter`.
    """

    table: TableName
    depth: int
    point: Point
    repeats: int
    bundle: str
    activations: str
    activation_bytes: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a measurement gave.

    `round_seconds` are those of each round's batches together; `loaded_bytes` is the peak of memory before the first
    batch, `peak_bytes` that after the last.
    """

    round_seconds: tuple[float, ...]
    batches: int  # a round
    loaded_bytes: int
    peak_bytes: int
    threads: int

    @property
    def batch_seconds(self) -> float:
        """The median seconds a batch."""
        return median(self.round_seconds) / self.batches


def parse_methods(text: str) -> tuple[ProfiledMethod, ...]:
    """Read a list such as `adapter,full`, each once. Raises UserError for any other word."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    found = tuple(method for method in METHODS if method in words)
    if unknown := [word for word in words if word not in METHODS]:
        raise UserError(f"--method {text}: '{unknown[0]}' cannot be measured: {nearest(unknown[0], METHODS)}")
    return found


def jobs_of(plan: MeasurementPlan, shape: ModelShape, *, bundle: str, scratch: str) -> Iterator[Job]:
    """Yield the measurements in order: a table after the other by depth, cached adapters right after uncached ones."""
    texts = plan.batches * plan.point.batch_size
    state_bytes = plan.point.sequence_length * shape.hidden * 4
    for method in plan.methods:
        tables: Sequence[TableName] = ("adapter", "cached_adapter") if method == "adapter" else ("full",)
        for depth in range(shape.blocks + 1):
            for table in tables:
                yield Job(
                    table=table,
                    depth=depth,
                    point=plan.point,
                    repeats=plan.repeats,
                    bundle=bundle,
                    activations=f"{scratch}/activations-{depth}",
                    activation_bytes=(shape.blocks + 2) * texts * state_bytes,
                )
