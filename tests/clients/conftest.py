"""Devices that a client app runs on, and how far apart two models are."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from flwr.app import Message, MessageType

from fedlab.messages.flower_private import with_id
from fedlab.messages.orders import PREFILL, order_content, prefill_content, query_message
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import read_query_reply
from fedlab.models.base import weights_of

PARTITION = 3


class Model(NamedTuple):
    """The arrays of a model, and the configuration of the set that is trained of it."""

    arrays: dict[str, np.ndarray]
    configuration: dict[str, int | str]


class Device:
    """A client with its own memory: a call sends it an order to train or evaluate a model, and returns the reply."""

    def __init__(self, app, context):
        self.app, self.context = app, context

    def __call__(self, model, *, server_round=1, kind=MessageType.TRAIN, proximal_mu=0.0):
        arrays, configuration = model
        content = order_content(to_record(arrays), server_round=server_round, configuration=configuration)
        content["config"]["proximal-mu"] = proximal_mu
        return self.app(with_id(Message(content, 7, kind), "1"), self.context)

    def trained(self, model, **order):
        """Send an order and return the arrays of the reply."""
        return from_record(self(model, **order).content["arrays"])

    def losses(self, model, *, rounds):
        """Train for so many rounds, each from where the last one ended, and return the loss of each."""
        losses = []
        for server_round in range(1, rounds + 1):
            reply = self(model, server_round=server_round)
            model = Model(from_record(reply.content["arrays"]), model.configuration)
            losses.append(reply.content["metrics"]["train-loss"])
        return losses

    def prefill(self, *, depth):
        """Have it fill its cache and return the reply."""
        content = prefill_content({"set": "bottleneck", "depth": depth, "width": 8})
        return self.app(with_id(Message(content, 7, PREFILL), "1"), self.context)

    def partition(self):
        """Ask which partition it holds."""
        return read_query_reply(self.app(with_id(query_message(7), "1"), self.context))


@pytest.fixture
def device_with(server_identity, workbench, hosted):
    """Return a function that makes devices, each with a client of the same kind, of its own partition and options."""

    def of_kind(client):
        return lambda partition=PARTITION, **options: Device(client(**options), hosted(workbench, partition))

    return of_kind


@pytest.fixture(scope="session")
def new_model(workbench):
    """Return a function that makes a new model of which a set is trained, with two labels."""

    def make(trained):
        network = workbench.network
        weights = partial(weights_of, network.encoder)
        return Model(trained.initial(network.sizes(2), np.random.default_rng(1), weights), trained.configuration)

    return make


@pytest.fixture(scope="session")
def labels(workbench):
    """Return the labels of the texts a device holds."""
    return np.asarray(workbench.tokens("train").labels)[workbench.partitions[PARTITION]]


@pytest.fixture(scope="session")
def distance():
    """Return a function that says how far apart two models are (Euclidean)."""
    return lambda first, second: float(sum(np.square(first[name] - second[name]).sum() for name in first) ** 0.5)
