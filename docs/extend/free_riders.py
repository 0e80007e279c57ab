"""Every n-th client is a free rider: it trains nothing and returns the model that it received."""

from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.adapter import adapter
from fedlab.api import TrainReport, Workload, read_order, train_reply


def free_riders(*, every: int = 4, **options: Any) -> ClientApp:
    honest, app = adapter(**options), ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] % every:
            return honest(message, context)
        arrays = read_order(message).arrays
        workload = Workload(passes=(), num_examples=1)
        return train_reply(message, TrainReport(arrays=arrays, num_examples=1, train_loss=0.0, workload=workload))

    return app
