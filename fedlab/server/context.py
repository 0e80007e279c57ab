"""What the framework lends a strategy that asks for it, and what it asks of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from flwr.app import ArrayRecord

from fedlab.billing.ledger import Ledger
from fedlab.common.arrays import Arrays
from fedlab.common.clock import Clock
from fedlab.models.peft.config import AdapterConfig
from fedlab.results.records import TrialRecord
from fedlab.workload.workload import Configuration

Measure = Callable[[Arrays, Literal["validation", "test"]], float]
UpdateLimit = Callable[[Arrays], float | None]


def no_limit(sent: Arrays) -> None:
    """Let updates be as far from what was sent as they are."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server's side of a run, as a strategy may see it.

    `initial` is the configuration of the first model, of an encoder of `blocks` blocks. `partitions` maps node ids to
    partition ids; draws are made over partition ids. `measure` returns a model's score on a split
    the server holds; it costs the clients nothing, and nothing but the report may use the test split. `ledger` has the
    bills of the round under way. `update_limit` says how far (Euclidean, over all arrays) an update may be from the
    arrays that were sent where a strategy has no limit of its own, None if there is none.
    """

    seed: int
    clock: Clock
    blocks: int
    initial: AdapterConfig
    partitions: Mapping[int, int]
    measure: Measure
    on_trial: Callable[[TrialRecord], None]
    ledger: Ledger = field(default_factory=Ledger)
    update_limit: UpdateLimit = no_limit


@runtime_checkable
class Attached(Protocol):
    """A strategy that wants the server's side of the run before the first round."""

    def attach(self, server: Server) -> None:
        """Take it."""


@runtime_checkable
class Searching(Protocol):
    """A strategy that changes the model's configuration by trials."""

    @property
    def configuration(self) -> Configuration:
        """Return the configuration of the global model: the set that is trained, and its axes."""

    @property
    def trial(self) -> int | None:
        """Return the number of the trial the last round belonged to, None if to none."""

    @property
    def budget_seconds(self) -> float | None:
        """Return the time each group of that trial has."""

    def conclude(self, server_round: int) -> ArrayRecord | None:
        """Decide the trial under way, for the run stops here; return the model that follows, None if it stays."""


@runtime_checkable
class Resumable(Protocol):
    """A strategy that says itself what a checkpoint must hold of it.

    Of others the attributes that are plain values and arrays are kept, which is enough for Flower's own.
    """

    def state(self) -> dict[str, Any]:
        """Return a tree of plain values, arrays and bytes."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
