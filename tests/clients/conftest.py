"""Devices that a client app runs on, and how far apart two models are."""

import numpy as np
import pytest
from flwr.app import Context, Message, MessageType, RecordDict

from fedlab.messages.flower_private import with_id
from fedlab.messages.orders import PREFILL, order_content, prefill_content, query_message
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import read_query_reply

PARTITION = 3


class Device:
    """A client with its own memory: a call sends it an order and returns the reply."""

    def __init__(self, app, node_config, partition):
        config = node_config | {"partition-id": partition, "num-partitions": 8}
        self.app = app
        self.context = Context(run_id=1, node_id=partition, node_config=config, state=RecordDict(), run_config={})

    def __call__(self, arrays, *, server_round=1, kind=MessageType.TRAIN, proximal_mu=0.0):
        content = order_content(to_record(arrays), server_round=server_round)
        content["config"]["proximal-mu"] = proximal_mu
        return self.app(with_id(Message(content, 7, kind), "1"), self.context)

    def trained(self, arrays, **order):
        """Send an order and return the arrays of the reply."""
        return from_record(self(arrays, **order).content["arrays"])

    def losses(self, arrays, *, rounds):
        """Train for so many rounds, each from where the last one ended, and return the loss of each."""
        losses = []
        for server_round in range(1, rounds + 1):
            reply = self(arrays, server_round=server_round)
            arrays = from_record(reply.content["arrays"])
            losses.append(reply.content["metrics"]["train-loss"])
        return losses

    def prefill(self, *, depth):
        """Have it fill its cache and return the reply."""
        return self.app(
            with_id(Message(prefill_content({"set": "bottleneck", "depth": depth, "width": 8}), 7, PREFILL), "1"),
            self.context,
        )

    def partition(self):
        """Ask which partition it holds."""
        return read_query_reply(self.app(with_id(query_message(7), "1"), self.context))


@pytest.fixture
def device_with(server_identity, node_config):
    """Return a function that makes devices, each with a client of the same kind, of its own partition and options."""

    def of_kind(client):
        return lambda partition=PARTITION, **options: Device(client(**options), node_config, partition)

    return of_kind


@pytest.fixture(scope="session")
def labels(workbench):
    """Return the labels of the texts a device holds."""
    return np.asarray(workbench.tokens("train").labels)[workbench.partitions[PARTITION]]


@pytest.fixture(scope="session")
def distance():
    """Return a function that says how far apart two models are (Euclidean)."""
    return lambda first, second: float(sum(np.square(first[name] - second[name]).sum() for name in first) ** 0.5)
