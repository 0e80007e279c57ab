"""Mandheling's published figures, and those of MNN's training on phones, read from `figures.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fedlab.paper.figures import Disagreement

TrainingMethod = Literal["fp32", "int8", "mandheling"]
ByTrainingMethod = Mapping[TrainingMethod, float]

_FILE = Path(__file__).parent / "figures.toml"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Centralised(_Entry):
    """A network of Table 8 that one phone trains."""

    task: str
    network: str
    labels: int
    epochs: int
    batches: int
    hours: ByTrainingMethod
    watt_hours: ByTrainingMethod


class Federated(_Entry):
    """A network of Table 8 that phones train together; batches, link and share of the energy are inferred."""

    task: str
    network: str
    labels: int
    rounds: Mapping[TrainingMethod, int]
    hours: ByTrainingMethod
    watt_hours: ByTrainingMethod
    batch_size: int
    batches: Mapping[TrainingMethod, int]
    bytes_per_second: float
    energy_share: ByTrainingMethod


class TabledNetwork(_Entry):
    """A row of Table 6."""

    name: str
    printed: str
    million_operations: float
    convolutions: int


class BatchGains(_Entry):
    """How many times as fast, and as frugal, a batch is said to be: mean and largest."""

    devices: tuple[str, ...]
    mean_time: float
    most_time: float
    mean_energy: float
    most_energy: float


class MnnMemory(_Entry):
    """Resident memory and energy of a batch, by network."""

    device: str
    batches: tuple[int, ...]
    megabytes: Mapping[str, tuple[float, ...]]
    joules: Mapping[str, tuple[float, ...]]


class MnnBenchmark(_Entry):
    """MNN's training in FP32 on the CPU: milliseconds of a batch by phone and network."""

    batches: tuple[int, ...]
    milliseconds: Mapping[str, Mapping[str, tuple[float, ...]]]
    memory: MnnMemory


class MandhelingFigures(_Entry):
    """All published figures of Mandheling, and those of phones that its cost model is fitted to."""

    batch_size: int
    device: str
    centralised: tuple[Centralised, ...]
    federated: tuple[Federated, ...]
    networks: tuple[TabledNetwork, ...]
    speedups: BatchGains
    mnn: MnnBenchmark
    disagreements: tuple[Disagreement, ...]


@cache
def mandheling_figures() -> MandhelingFigures:
    """Read Mandheling's published figures."""
    return MandhelingFigures.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
