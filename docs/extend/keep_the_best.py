"""FedAvg that keeps a new average only if it is better on the server's validation split."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg

from fedlab.api import Server, from_record


class KeepTheBest(FedAvg):
    def __init__(self, *, fraction_train: float = 0.1) -> None:
        super().__init__(fraction_train=fraction_train, fraction_evaluate=0.0)
        self.best = 0.0

    def attach(self, server: Server) -> None:  # called before the first round
        self.server = server

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        arrays, metrics = super().aggregate_train(server_round, replies)
        trained = self.server.initial.configuration  # which set the arrays are of
        accuracy = 0.0 if arrays is None else self.server.measure(from_record(arrays), "validation", trained)
        if accuracy <= self.best:
            return None, metrics  # the global model stays as it is
        self.best = accuracy
        return arrays, metrics
