"""FedAvg trains one global model with a cohort of fixed size."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.messages.orders import read_order, read_terms
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.server.context import Resumable
from strategies.cohort import draw_cohort
from strategies.fedavg import FedAvg

START = {"x": np.array([1.0, 2.0], np.float32)}


@pytest.fixture
def attached(server):
    """Return a function that makes a strategy and lends it the server's side of a run."""

    def make(**options):
        strategy = FedAvg(**options)
        assert isinstance(strategy, Resumable)
        strategy.attach(server)
        return strategy

    return make


@pytest.fixture
def grid(memory_grid, server):
    return memory_grid(lambda message: None, server.partitions)


def test_a_cohort_of_the_size_asked_for_gets_the_global_model(attached, grid):
    messages = list(attached(clients_per_round=4).configure_train(3, to_record(START), ConfigRecord(), grid))
    nodes = [message.metadata.dst_node_id for message in messages]
    assert nodes == draw_cohort(grid.get_node_ids(), size=4, seed=5, server_round=3)
    for message in messages:
        order = read_order(message)
        assert (order.server_round, order.group) == (3, "")
        np.testing.assert_array_equal(order.arrays["x"], START["x"])


def test_replies_are_averaged_by_their_examples(attached, grid):
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


def test_where_fewer_are_there_all_of_them_are_asked(attached, grid):
    messages = list(attached(clients_per_round=12).configure_train(1, to_record(START), ConfigRecord(), grid))
    assert sorted(message.metadata.dst_node_id for message in messages) == sorted(grid.get_node_ids())


def test_more_are_asked_than_count_and_told_when_it_is_too_late(attached, grid):
    strategy = attached(clients_per_round=4, over_selection=1.5, deadline_seconds=30.0, late="carry")
    messages = list(strategy.configure_train(1, to_record(START), ConfigRecord(), grid))
    assert len(messages) == 6
    assert read_terms(messages[0]) == RoundTerms(deadline_seconds=30.0, wait_for=4, late="carry")


def test_a_round_with_too_few_replies_leaves_the_model(attached, grid, reply_with, floats):
    strategy = attached(clients_per_round=4, min_replies=2)
    strategy.configure_train(1, to_record(START), ConfigRecord(), grid)
    assert strategy.aggregate_train(1, [reply_with({"x": floats(1.0, 1.0)})]) == (None, None)
    assert list(strategy.server.ledger.failed) == ["train"]


def test_late_work_counts_in_the_next_round_also_of_a_restored_run(attached, grid, reply_with, floats):
    strategy = attached(clients_per_round=8, late="carry", deadline_seconds=5.0)
    strategy.configure_train(1, to_record(START), ConfigRecord(), grid)
    strategy.aggregate_train(
        1,
        [
            reply_with({"x": floats(2.0, 2.0)}, late_seconds=0.0),
            reply_with({"x": floats(6.0, 6.0)}, node=104, late_seconds=3.0),
        ],
    )
    resumed = attached(clients_per_round=8, late="carry", deadline_seconds=5.0)
    resumed.restore(strategy.state())
    asked = list(resumed.configure_train(2, to_record(START), ConfigRecord(), grid))
    assert 104 not in [message.metadata.dst_node_id for message in asked]
    resumed.server.clock.advance(3.0)
    arrays, _ = resumed.aggregate_train(2, [reply_with({"x": floats(4.0, 4.0)}, late_seconds=0.0)])
    np.testing.assert_array_equal(from_record(arrays)["x"], [5.0, 5.0])


def test_a_setting_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="over_selection"):
        FedAvg(over_selection=0.5)
