"""What the strategies of this folder share: the server's side of the run, their needs, and how options are declared."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.messages.updates import MODELS_ONLY
from fedlab.server.context import Server
from fedlab.server.requirements import Requirements

_Init = TypeVar("_Init", bound=Callable[..., None])


class AttachedStrategy(Strategy):
    """A strategy that asks clients to train and never to evaluate: the server measures the model on its own data.

    It needs `clients_per_round` clients; where `trains` names a trainable set, they must train that, and where it
    `grows` sets, one that can grow (`fedlab.models.peft.base.GrowingSet`).
    `takes` names the kinds of updates it can aggregate (`fedlab.messages.updates.Kind`), `max_scalars` how long a
    vector of scalars may be; replies of other kinds are refused before it sees them.
    """

    clients_per_round: int
    trains: str | None = None
    grows: bool = False
    takes: frozenset[str] = MODELS_ONLY
    max_scalars: int = 0
    _server: Server | None = None

    def requirements(self) -> Requirements:
        """Return what the strategy needs of a run; one that overrides `configure_evaluate` is asked to evaluate."""
        return Requirements(
            clients_per_round=self.clients_per_round,
            trains=self.trains,
            grows=self.grows,
            evaluates=type(self).configure_evaluate is not AttachedStrategy.configure_evaluate,
        )

    @property
    def server(self) -> Server:
        """Return the server's side of the run."""
        assert self._server is not None, "attach comes first"
        return self._server

    def attach(self, server: Server) -> None:
        """Store the server's side of the run."""
        self._server = server

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask no client."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing: no client was asked."""
        return None

    def summary(self) -> None:
        """Print nothing: the run's records hold it."""


def takes_options_of(options: type[Any]) -> Callable[[_Init], _Init]:
    """Give a constructor that takes `**options` the parameters of a data class.

    They are declared once, in the data class, and an experiment file with another option is still refused by name.
    """

    def declare(init: _Init) -> _Init:
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        parameters += inspect.signature(options).parameters.values()
        vars(init)["__signature__"] = inspect.Signature(parameters)
        return init

    return declare
