"""Replies carry results, work and cost unchanged, in records that Flower's own strategies take."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import strategy

from fedlab.messages.flower_private import record_from_wire, record_to_wire, with_id
from fedlab.messages.orders import order_content, query_message
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import (
    EvaluateReport,
    TrainReport,
    add_cost,
    evaluate_reply,
    late_seconds_of,
    query_reply,
    read_cost,
    read_query_reply,
    read_train_loss,
    read_workload,
    train_reply,
)
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Cost, Workload, training_passes

pytestmark = pytest.mark.usefixtures("server_identity")

WORKLOAD = Workload(
    passes=training_passes(
        batches=6, cached_batches=3, batch_size=4, input_shape=(64,), model_blocks=4, depth=2, trained=bottleneck(8)
    ),
    num_examples=11,
)
COST = Cost(
    compute_seconds=1 / 3,
    download_seconds=0.1,
    upload_seconds=0.2,
    compute_joules=5.5,
    transfer_joules=1.5,
    bytes_down=10,
    bytes_up=20,
    peak_memory_bytes=2**33,
    idle_seconds=0.5,
    idle_joules=0.25,
    late_seconds=0.0,
)


def order(arrays, *, node=7, kind=MessageType.TRAIN, **config):
    content = order_content(to_record(arrays), **{"server_round": 1, **config})
    return with_id(Message(content, node, kind), "1")


def trained(arrays, *, num_examples, loss=0.5, node=7):
    report = TrainReport(arrays=arrays, num_examples=num_examples, train_loss=loss, workload=WORKLOAD)
    return train_reply(order(arrays, node=node), report)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_reply_says_how_late_it_is():
    reply = trained({}, num_examples=1)
    assert late_seconds_of(reply) == 0.0
    add_cost(reply, replace(COST, idle_seconds=0.0, late_seconds=7.5))
    assert late_seconds_of(reply) == 7.5


def test_a_reply_to_train_brings_back_arrays_workload_and_loss():
    arrays = {"x": np.array([1.5, -2.0], np.float32)}
    reply = trained(arrays, num_examples=11, loss=0.75)
    assert reply.metadata.reply_to_message_id == "1"
    assert reply.metadata.src_node_id == 7
    assert_same(from_record(reply.content.array_records["arrays"]), arrays)
    assert read_workload(reply) == WORKLOAD
    assert read_train_loss(reply) == 0.75


def test_a_reply_reads_the_same_after_flowers_own_wire():
    reply = trained({"x": np.array([1.5], np.float32)}, num_examples=11, loss=1 / 3)
    add_cost(reply, COST)
    reply.content = record_from_wire(record_to_wire(reply.content))
    assert read_workload(reply) == WORKLOAD
    assert read_train_loss(reply) == 1 / 3
    assert read_cost(reply) == COST
    assert_same(from_record(reply.content.array_records["arrays"]), {"x": np.array([1.5], np.float32)})


def test_a_reply_that_does_not_say_has_no_workload_and_no_loss():
    reply = Message(RecordDict(), reply_to=order({}))
    assert (read_workload(reply), read_train_loss(reply)) == (None, None)


def test_a_node_says_which_partition_it_holds():
    question = query_message(12345)
    assert (question.metadata.dst_node_id, question.metadata.message_type) == (12345, MessageType.QUERY)
    assert read_query_reply(query_reply(question, 42)) == 42


@pytest.mark.parametrize("billed", [False, True])
def test_flowers_fedavg_averages_our_replies_by_examples(billed):
    replies = [
        trained({"x": np.array([0.0, 0.0], np.float32)}, num_examples=1, loss=1.0, node=7),
        trained({"x": np.array([4.0, 8.0], np.float32)}, num_examples=3, loss=2.0, node=8),
    ]
    if billed:
        for reply in replies:
            add_cost(reply, COST)
    arrays, metrics = strategy.FedAvg().aggregate_train(1, replies)
    np.testing.assert_array_equal(from_record(arrays)["x"], [3.0, 6.0])  # (1 x 0 + 3 x 4) / 4, (1 x 0 + 3 x 8) / 4
    assert metrics["train-loss"] == 1.75


def test_flowers_fedavg_averages_our_evaluations_by_examples():
    reports = [
        EvaluateReport(num_examples=number, accuracy=accuracy, workload=WORKLOAD)
        for number, accuracy in ((1, 1.0), (3, 0.5))
    ]
    replies = [evaluate_reply(order({}, kind=MessageType.EVALUATE), report) for report in reports]
    metrics = strategy.FedAvg().aggregate_evaluate(1, replies)
    assert metrics["eval-accuracy"] == 0.625  # (1 x 1 + 3 x 0.5) / 4
    assert [read_workload(reply) for reply in replies] == [WORKLOAD, WORKLOAD]
