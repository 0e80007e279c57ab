"""FwdLLM's published figures, read from `figures.toml`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fedlab.estimate.spec import FwdllmMethod
from fedlab.paper.figures import Disagreement
from fedlab.workload.passes import Format

_FILE = Path(__file__).parent / "figures.toml"
ByMethod = Mapping[FwdllmMethod, float]
CountByMethod = Mapping[FwdllmMethod, int]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FwdllmTask(_Entry):
    """A data set: its labels, the batches of a client, and the rounds from one evaluation to the next."""

    labels: int
    batches: int
    evaluate_every: int


class Target(_Entry):
    """The minutes and evaluations of the methods until a target accuracy."""

    backbone: str
    task: str
    accuracy: float
    evaluations: CountByMethod
    minutes: ByMethod
    forward_gpu: float

    @property
    def name(self) -> str:
        """Return what the row is called."""
        return f"{self.backbone} {self.task}"


class Speedups(_Entry):
    """How many times as fast as the others `forward` is said to be."""

    mean_of_three: float
    full: Mapping[str, float]


class Fedavg(_Entry):
    """FedAvg's evaluations and, where published, minutes by task."""

    backbone: str
    evaluations: Mapping[str, int]
    minutes: Mapping[str, float] = {}


class LargeDecoder(_Entry):
    """LLaMA-7B, which has seconds of its own."""

    backbone: str
    rank: int
    targets: tuple[str, ...]
    bytes_per_second: float
    inference_seconds: float
    inferences: int
    backpropagation_seconds: float
    steps: Mapping[str, int]
    one_way_seconds: float
    evaluation_seconds: Mapping[str, float]
    hours: Mapping[str, float]


class EnergyRounds(_Entry):
    """The rounds to a target, and the evaluations of a client of `forward` in them."""

    accuracy: float
    rounds: CountByMethod
    forward_evaluations: int


class NetworkRounds(_Entry):
    """The rounds to a target, and the number of clients that is billed."""

    accuracy: float
    rounds: CountByMethod
    clients: int


class Peaks(BaseModel):
    """Peaks of memory in GB; the backbones are further keys."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, ByMethod]

    batch_size: int
    tokens: int
    labels: int
    llama_table7: Mapping[Format, float]
    llama_readme: float
    full_over_forward_albert: float
    weights: Mapping[str, float]

    @property
    def backbones(self) -> Mapping[str, ByMethod]:
        """Return the peaks by backbone and method."""
        return self.__pydantic_extra__


class PacingCount(_Entry):
    """A target that pacing reaches: the evaluations of one client, and the rounds."""

    backbone: str
    accuracy: float
    evaluations: int
    rounds: int


class GlobalPs(_Entry):
    """A fixed number of perturbations a client: minutes, where published, and rounds by share of the accuracy."""

    perturbations: int
    minutes: Mapping[str, float] = {}
    rounds: Mapping[str, int]
    inferred: bool


class HandmadeSchedule(_Entry):
    """The hand-made schedule, and its minutes by share; `rounds` are of those that it can be billed for."""

    segments: tuple[tuple[int, int], ...]
    minutes: Mapping[str, float]
    rounds: Mapping[str, int]


class Sampling(_Entry):
    """A share of the candidates that is kept."""

    kept: str
    minutes: float
    rounds: int
    trains_classifier_weight: bool


class Scaling(_Entry):
    """Clients in a round, the perturbations they share, and what the methods take, number by number of clients."""

    clients: tuple[int, ...]
    global_ps: tuple[int, ...]
    forward: tuple[int, ...]
    minutes: Mapping[FwdllmMethod, tuple[float, ...]]
    rounds: Mapping[FwdllmMethod, tuple[int, ...]]


class Skew(_Entry):
    """Minutes and rounds with IID and with non-IID data."""

    backbone: str
    accuracy: float
    method: FwdllmMethod
    minutes: tuple[float, float]
    rounds: tuple[int, int]


class FwdllmFigures(_Entry):
    """All published figures of FwdLLM."""

    tasks: Mapping[str, FwdllmTask]
    targets: tuple[Target, ...]
    speedups: Speedups
    fedavg: tuple[Fedavg, ...]
    llama: LargeDecoder
    energy: EnergyRounds
    network: NetworkRounds
    memory: Peaks
    pacing: tuple[PacingCount, ...]
    global_ps: tuple[GlobalPs, ...]
    schedule: HandmadeSchedule
    sampling: tuple[Sampling, ...]
    formats: Mapping[Format, int]
    scaling: Scaling
    skew: tuple[Skew, ...]
    disagreements: tuple[Disagreement, ...]


@cache
def fwdllm_figures() -> FwdllmFigures:
    """Read FwdLLM's published figures."""
    return FwdllmFigures.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
