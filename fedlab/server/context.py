"""What the framework lends a strategy that asks for it, and the protocols by which a strategy asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy

from fedlab.billing.ledger import Ledger
from fedlab.common.arrays import Arrays
from fedlab.common.clock import Clock
from fedlab.models.peft.base import ModelSizes, TrainableSet
from fedlab.results.records import StepRecord, TrialRecord
from fedlab.workload.workload import Configuration

HeldOut = Literal["validation", "test"]
HELD_OUT: tuple[HeldOut, ...] = ("validation", "test")
Measure = Callable[[Arrays, HeldOut, Configuration], float]
ClientScores = Callable[[Arrays, Configuration], np.ndarray]
UpdateLimit = Callable[[Arrays], float | None]


def forget(record: StepRecord) -> None:
    """Record no steps."""


def no_limit(sent: Arrays) -> None:
    """Accept updates at any distance from what was sent."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server's side of a run, as a strategy may see it.

    `initial` is the trainable set of the first model, `sizes` are those of the model. `partitions` maps node ids to
    partition ids; draws are made over partition ids. `measure` takes a model's arrays, a split of the data and the
    model's configuration, and returns the score on that split, which the server holds; it costs the clients nothing,
    and only the report may use the test split. `ledger` has the bills of the current round. `update_limit` says how far
    (Euclidean, over all arrays) an update may be from the arrays that were sent, where a strategy has no limit of its
    own; None for no limit. `scores` is for the round loop: `measure` that returns other measures with the score
    (`fedlab.data.metrics.Score`); None: there are no others. So is `client_scores`, which returns the score on the
    training examples of each client, by partition id; None: that cannot be known.
    """

    seed: int
    clock: Clock
    sizes: ModelSizes
    initial: TrainableSet
    partitions: Mapping[int, int]
    measure: Measure
    on_trial: Callable[[TrialRecord], None]
    on_step: Callable[[StepRecord], None] = forget
    ledger: Ledger = field(default_factory=Ledger)
    update_limit: UpdateLimit = no_limit
    scores: Measure | None = None
    client_scores: ClientScores | None = None

    @property
    def blocks(self) -> int:
        """Return the number of blocks of the backbone."""
        return self.sizes.blocks


@runtime_checkable
class Attached(Protocol):
    """A strategy that is lent the server's side of the run before the first round."""

    def attach(self, server: Server) -> None:
        """Store the server's side of the run."""


@runtime_checkable
class Searching(Protocol):
    """A strategy that changes the model's configuration by trials."""

    @property
    def configuration(self) -> Configuration:
        """Return the configuration of the global model: the set that is trained, and its axes."""

    @property
    def trial(self) -> int | None:
        """Return the number of the trial that the last round belonged to, None outside trials."""

    @property
    def budget_seconds(self) -> float | None:
        """Return the time each group of that trial has."""

    def conclude(self, server_round: int) -> ArrayRecord | None:
        """Decide the current trial, because the run stops here; return the new model, None if the model stays."""


def searches(strategy: Strategy) -> bool:
    """Tell whether a strategy is `Searching`, also before it is attached, when its properties cannot be read yet."""
    members = ("configuration", "trial", "budget_seconds", "conclude")
    return all(hasattr(type(strategy), member) for member in members)


@runtime_checkable
class DecidesByTime(Protocol):
    """A strategy that says whether anything it does depends on simulated time: if not, its runs can be repriced."""

    decides_by_time: bool


@runtime_checkable
class Resumable(Protocol):
    """A strategy that says itself what a checkpoint must hold of it.

    Of other strategies, as Flower's own, a checkpoint holds the attributes (`fedlab.server.strategy_memory`).
    """

    def state(self) -> dict[str, Any]:
        """Return a tree of values that a checkpoint can hold (`fedlab.server.tree_values`)."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
