"""What was sent and what came back become a part to bill, and its bill becomes a record."""

from math import inf

import numpy as np
import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict

from fedlab.billing.orders import SentMessage, bill_of_failure, order_of, part_of, record_of
from fedlab.billing.simulated import Bill
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, record_to_wire, with_id
from fedlab.messages.orders import order_content, query_message
from fedlab.messages.pack import to_record
from fedlab.messages.replies import workload_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.workload import Cost, Workload

pytestmark = pytest.mark.usefixtures("server_identity")

WORK = Workload(
    method="adapter", depth=2, width=8, batches=10, cached_batches=4, batch_size=4, sequence_length=64, num_examples=38
)
TERMS = RoundTerms(deadline_seconds=9.0, wait_for=3)
COST = Cost(
    compute_seconds=7.0, download_seconds=2.0, upload_seconds=1.0, compute_joules=70.0, transfer_joules=12.0,
    bytes_down=300, bytes_up=100, peak_memory_bytes=500, idle_seconds=4.0, idle_joules=4.0,
)  # fmt: skip


ADAPTERS = {"set": "bottleneck", "depth": 2, "width": 8}


def sent(*, leaves_seconds=inf, message=None, configuration=ADAPTERS):
    arrays = to_record({"x": np.zeros(20, np.float32)})
    content = order_content(arrays, server_round=6, configuration=configuration, group="deep", terms=TERMS)
    message = message or with_id(Message(content, 17, MessageType.TRAIN), "1")
    return SentMessage(
        message=message, order=order_of(message), partition_id=3, start_seconds=50.0, leaves_seconds=leaves_seconds
    )


def reply(**records):
    metrics = MetricRecord({"num-examples": 38, "train-loss": 0.5})
    return Message(RecordDict({"metrics": metrics, **records}), reply_to=sent().message)


def test_an_order_has_its_size_round_group_and_terms():
    order = sent().order
    assert order.num_bytes == len(record_to_wire(sent().message.content))
    assert (order.server_round, order.group, order.terms) == (6, "deep", TERMS)


def test_a_part_is_what_was_sent_and_what_came_back():
    answer = reply(workload=workload_record(WORK))
    part = part_of(sent(leaves_seconds=99.0), answer)
    assert (part.workload, part.partition_id, part.server_round, part.group) == (WORK, 3, 6, "deep")
    assert (part.start_seconds, part.leaves_seconds) == (50.0, 99.0)
    assert part.bytes_down == sent().order.num_bytes
    assert part.bytes_up == len(record_to_wire(answer.content))


def test_of_a_client_that_was_not_reached_nothing_came_back():
    gone = sent(leaves_seconds=50.0)
    part = part_of(gone, error_reply(gone.message, CLIENT_RAISED, "gone"))
    assert not gone.reached
    assert (part.workload, part.bytes_up) == (None, 0)


def test_a_client_must_say_what_it_did():
    with pytest.raises(RunFailedError, match="client 3 reported no workload"):
        part_of(sent(), reply())


def test_queries_are_not_billed():
    assert not sent(message=query_message(17)).billed
    assert sent().billed


def test_a_record_says_what_was_done_and_what_it_cost():
    answer = reply(workload=workload_record(WORK))
    bill = Bill(cost=COST, round_ends_seconds=64.0, standing="scaled")
    record = record_of(sent(), bill, part_of(sent(), answer), answer, "rpi-4b")
    assert (record.server_round, record.group, record.partition_id, record.device) == (6, "deep", 3, "rpi-4b")
    assert record.configuration == ADAPTERS
    assert (record.method, record.batches, record.cached_batches, record.num_examples) == ("adapter", 10, 4, 38)
    assert (record.train_loss, record.error, record.latency_provenance) == (0.5, None, "scaled")
    assert (record.joules, record.idle_joules, record.seconds, record.round_seconds) == (86.0, 4.0, 10.0, 14.0)


def test_a_record_of_lost_work_says_how_far_it_came():
    answer = reply(workload=workload_record(WORK))
    bill = Bill(cost=COST, round_ends_seconds=64.0, standing="", dropout="gone", reason="went away", done=0.75)
    record = record_of(sent(), bill, part_of(sent(), answer), answer, "rpi-4b")
    assert (record.batches, record.cached_batches, record.num_examples, record.train_loss) == (7, 3, 0, None)
    assert (record.dropout, record.error) == ("gone", "went away")


def test_of_a_client_that_failed_nothing_is_known_but_why():
    failure = error_reply(sent().message, CLIENT_RAISED, "ValueError: no")
    record = record_of(sent(), bill_of_failure(sent(), failure), None, failure, "rpi-4b")
    assert (record.dropout, record.error, record.configuration) == ("failed", "ValueError: no", ADAPTERS)
    assert (record.seconds, record.joules, record.bytes_down, record.batches, record.method) == (0.0, 0.0, 0, 0, "")


def test_an_order_that_names_no_configuration_is_recorded_with_none():
    order, answer = sent(configuration=None), reply(workload=workload_record(WORK))
    bill = Bill(cost=COST, round_ends_seconds=64.0, standing="scaled")
    assert record_of(order, bill, part_of(order, answer), answer, "rpi-4b").configuration == {}
