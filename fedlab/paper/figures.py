"""The published figures, read from `figures.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fedlab.estimate.spec import EstimateMethod

PaperMethod = Literal["FT", "FTQ", "LF", "LFQ", "AdaFL"]
METHODS: tuple[PaperMethod, ...] = ("FT", "FTQ", "LF", "LFQ", "AdaFL")
SHARES = (0.99, 0.95, 0.90)  # of the full-convergence accuracy

_FILE = Path(__file__).parent / "figures.toml"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperTask(_Entry):
    """A data set, the work of a round on it, and the configurations that AdaFL went through."""

    name: str
    clients: int
    labels: int
    samples: int
    batches: int
    sequence_length: int
    freeze_depth: int
    full_accuracy: float
    segments: tuple[tuple[int, int, int], ...]
    accuracy_at_end: tuple[float, ...]


class Batch(_Entry):
    """A row of Table 1."""

    backbone: str
    method: EstimateMethod
    seconds: float
    million_parameters: float


class Hours(_Entry):
    """The hours and rounds of a method on a task to each share of the full-convergence accuracy."""

    task: str
    method: PaperMethod
    hours: tuple[float, float, float]
    rounds: tuple[int, int, int]
    inferred: tuple[bool, bool, bool]
    billed_sequence_length: int | None = None


class Bandwidths(_Entry):
    """Figure 6: hours of each method by bandwidth."""

    task: str
    bandwidths: tuple[str, ...]
    hours: Mapping[PaperMethod, tuple[float, ...]]


class Boards(_Entry):
    """A panel of Figure 7: hours by board, and rounds, of each method."""

    task: str
    share: float
    full_accuracy: float
    rounds: tuple[int, ...]
    hours: Mapping[str, tuple[float, ...]]


class Energy(_Entry):
    """The energy and rounds of each method on a task."""

    task: str
    rounds: tuple[int, ...]
    kilojoules: tuple[float, ...]


class Disagreement(_Entry):
    """A contradiction between sources, and which of them we follow; `tables` are the affected tables."""

    id: str
    tables: tuple[str, ...]
    what: str
    ours: str


class Figures(_Entry):
    """All published figures."""

    tasks: Mapping[str, PaperTask]
    table1: tuple[Batch, ...]
    table2: Mapping[str, tuple[tuple[int, int], ...]]
    table3: Mapping[str, float]
    table5: tuple[Hours, ...]
    figure6: Bandwidths
    figure7: tuple[Boards, ...]
    energy: tuple[Energy, ...]
    disagreements: tuple[Disagreement, ...]


@cache
def published_figures() -> Figures:
    """Read the published figures."""
    return Figures.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
