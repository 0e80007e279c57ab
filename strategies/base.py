"""The base class of the strategies in this folder: the server measures the model itself, so clients do not evaluate."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.messages.updates import MODELS_ONLY
from fedlab.server.context import Server


class AttachedStrategy(Strategy):
    """A strategy that asks clients to train and never to evaluate: the server has data to measure the model on.

    `takes` names the kinds of updates it can aggregate (`fedlab.messages.updates.Kind`), `max_scalars` how long a
    vector of scalars may be; replies of other kinds are refused before it sees them.
    """

    takes: frozenset[str] = MODELS_ONLY
    max_scalars: int = 0
    _server: Server | None = None

    @property
    def server(self) -> Server:
        """Return the server's side of the run."""
        assert self._server is not None, "attach comes first"
        return self._server

    def attach(self, server: Server) -> None:
        """Store the server context."""
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
        """Say nothing: the run's own records tell more."""
