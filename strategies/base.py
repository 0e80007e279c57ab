"""What the strategies of this folder have in common: the server's side of the run, which measures the model itself."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.messages.updates import MODELS_ONLY
from fedlab.server.context import Server


class AttachedStrategy(Strategy):
    """A strategy that asks clients to train and never to evaluate, for the server has data to measure the model on.

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
        """Take the server's side of the run."""
        self._server = server

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask no client."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing, for nothing was asked."""
        return None

    def summary(self) -> None:
        """Say nothing: the run's own records tell more."""
