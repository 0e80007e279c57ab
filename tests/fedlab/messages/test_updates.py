"""A reply says of which kind its update is; one that does not is a model."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.messages.updates import kind_of, read_update
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

WORKLOAD = Workload(
    passes=training_passes(batches=1, batch_size=4, input_shape=(8,), model_blocks=2, depth=0, trained=bottleneck(8)),
    num_examples=3,
)


@pytest.fixture
def replied(server_identity):
    """Return a function that makes the reply of node 7 to an order, with a report of this kind."""

    def make(**report):
        order = Message(order_content(to_record({}), server_round=1), 7, MessageType.TRAIN)
        report = {"arrays": {"x": np.ones(2, np.float32)}, "num_examples": 3, "train_loss": 0.5} | report
        return train_reply(order, TrainReport(workload=WORKLOAD, **report))

    return make


@pytest.mark.parametrize("kind", ["model", "delta", "gradient", "scalars"])
def test_an_update_is_what_its_client_reported(replied, kind):
    update = read_update(replied(kind=kind), configuration={"set": "head"}, arrives_seconds=2.5)
    assert (update.kind, update.num_examples, update.node_id) == (kind, 3, 7)
    assert (update.configuration, update.arrives_seconds) == ({"set": "head"}, 2.5)
    np.testing.assert_array_equal(update.arrays["x"], [1.0, 1.0])


def test_a_model_goes_without_saying(replied):
    assert set(replied().content) == {"arrays", "metrics", "workload"}
    assert kind_of(RecordDict({"config": ConfigRecord({"lr": 0.1})})) == "model"
