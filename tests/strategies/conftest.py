"""Orders and replies as a strategy sees them."""

import numpy as np
import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict

from fedlab.common.clock import VirtualClock
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.replies import add_cost
from fedlab.messages.updates import add_kind
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.server.context import Server
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Cost

SIZES = ModelSizes(
    encoder=EncoderSizes(
        shape=ModelShape(family="bert", blocks=2, hidden=8, intermediate=1), vocabulary=1, positions=1, embedding={}
    ),
    labels=2,
)
PARTITIONS = {100 + partition: partition for partition in range(9)}


@pytest.fixture(scope="session")
def reply_with(server_identity):
    """Return a function that makes the reply of a node with these arrays."""

    def make(arrays, *, node=100, num_examples=1, late_seconds=None, kind="model"):
        packed = arrays if not isinstance(arrays, dict) else to_record(arrays)
        content = RecordDict({"arrays": packed, "metrics": MetricRecord({"train-loss": 1.0})})
        content["metrics"]["num-examples"] = num_examples
        add_kind(content, kind)
        order = Message(order_content(to_record({}), server_round=1), node, MessageType.TRAIN)
        reply = Message(content, reply_to=order)
        if late_seconds is not None:
            names = ("compute_seconds", "download_seconds", "upload_seconds", "compute_joules", "transfer_joules")
            counts = dict.fromkeys(("bytes_down", "bytes_up", "peak_memory_bytes"), 0)
            add_cost(reply, Cost(**dict.fromkeys(names, 0.0), **counts, late_seconds=late_seconds))
        return reply

    return make


@pytest.fixture(scope="session")
def floats():
    """Return a function that makes an array of numbers."""
    return lambda *numbers: np.array(numbers, np.float32)


@pytest.fixture
def server():
    """Return the server's side of a run over nine clients, its clock at 0."""
    return Server(
        seed=5,
        clock=VirtualClock(),
        sizes=SIZES,
        initial=Bottleneck(depth=1, width=8),
        partitions=PARTITIONS,
        measure=lambda arrays, split, configuration: 0.0,
        on_trial=lambda trial: None,
    )
