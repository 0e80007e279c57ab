"""The published figures, as `figures.toml` holds them."""

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
    """A data set, how a round on it is billed, and the configurations AdaFL went through."""

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
    """The hours of a method on a task to each share, and after how many rounds they are."""

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
    """A panel of Figure 7: hours of each method by board, and after how many rounds."""

    task: str
    share: float
    full_accuracy: float
    rounds: tuple[int, ...]
    hours: Mapping[str, tuple[float, ...]]


class Energy(_Entry):
    """The energy a method takes on a task, and for how many rounds."""

    task: str
    rounds: tuple[int, ...]
    kilojoules: tuple[float, ...]


class Disagreement(_Entry):
    """Sources that contradict each other, and whom ours follows; `tables` are those it touches."""

    id: str
    tables: tuple[str, ...]
    what: str
    ours: str


class Figures(_Entry):
    """All that was published."""

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
    """Read them."""
    return Figures.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
