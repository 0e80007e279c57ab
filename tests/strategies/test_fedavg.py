"""FedAvg trains one global model with a cohort of fixed size."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.adapterconfig import AdapterConfig
from fedlab.clock import VirtualClock
from fedlab.errors import UserError
from fedlab.messages import from_record, read_order, to_record
from fedlab.server import Attached, Server
from strategies.cohort import draw_cohort
from strategies.fedavg import FedAvg

PARTITIONS = {100 + partition: partition for partition in range(9)}
START = {"x": np.array([1.0, 2.0], np.float32)}


def attached(**options):
    strategy = FedAvg(**options)
    assert isinstance(strategy, Attached)
    strategy.attach(
        Server(
            seed=5,
            clock=VirtualClock(),
            blocks=2,
            initial=AdapterConfig(depth=1, width=8),
            partitions=PARTITIONS,
            measure=lambda arrays, split: 0.0,
            on_trial=lambda trial: None,
        )
    )
    return strategy


@pytest.fixture
def grid(memory_grid):
    return memory_grid(lambda message: None, PARTITIONS)


def test_a_cohort_of_the_size_asked_for_gets_the_global_model(grid):
    messages = list(attached(clients_per_round=4).configure_train(3, to_record(START), ConfigRecord(), grid))
    nodes = [message.metadata.dst_node_id for message in messages]
    assert nodes == draw_cohort(list(PARTITIONS), size=4, seed=5, server_round=3)
    for message in messages:
        order = read_order(message)
        assert (order.server_round, order.group) == (3, "")
        np.testing.assert_array_equal(order.arrays["x"], START["x"])


def test_replies_are_averaged_by_their_examples(grid):
    strategy = attached(clients_per_round=2)
    messages = list(strategy.configure_train(1, to_record(START), ConfigRecord(), grid))
    replies = [
        Message(
            RecordDict(
                {
                    "arrays": to_record({"x": np.array(values, np.float32)}),
                    "metrics": MetricRecord({"num-examples": examples, "train-loss": 1.0}),
                }
            ),
            reply_to=message,
        )
        for message, values, examples in zip(messages, ([0.0, 4.0], [8.0, 0.0]), (3, 1), strict=True)
    ]
    arrays, _ = strategy.aggregate_train(1, replies)
    np.testing.assert_array_equal(from_record(arrays)["x"], [2.0, 3.0])


def test_clients_are_not_asked_to_evaluate(grid):
    assert list(attached().configure_evaluate(1, to_record(START), ConfigRecord(), grid)) == []


def test_more_clients_a_round_than_there_are_is_refused(grid):
    with pytest.raises(UserError, match="10 clients a round, but there are 9"):
        attached(clients_per_round=10).configure_train(1, to_record(START), ConfigRecord(), grid)
