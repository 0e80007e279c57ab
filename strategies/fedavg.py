"""FedAvg at one fixed configuration: Flower's own, with a cohort of fixed size drawn by the experiment's seed."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType
from flwr.serverapp import Grid, strategy

from fedlab.messages import order_content
from fedlab.server import Server
from strategies.cohort import draw_cohort


class FedAvg(strategy.FedAvg):
    """Average what `clients_per_round` clients send back, weighted by their examples (McMahan et al. 2017)."""

    def __init__(self, *, clients_per_round: int = 15) -> None:
        super().__init__(fraction_evaluate=0.0)
        self.clients_per_round = clients_per_round
        self._server: Server | None = None

    def attach(self, server: Server) -> None:
        """Take the server's side of the run."""
        self._server = server

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask this round's cohort to train the global model."""
        assert self._server is not None, "attach comes first"
        nodes = draw_cohort(
            list(grid.get_node_ids()),
            size=self.clients_per_round,
            seed=self._server.seed,
            server_round=server_round,
        )
        content = order_content(arrays, server_round=server_round)
        return [Message(content, node, MessageType.TRAIN) for node in nodes]
