"""What was sent and what came back become a part to bill, and its bill becomes a record."""

from math import inf

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.billing.orders import SentMessage, bill_of_failure, order_of, participation_of, readable, record_of
from fedlab.billing.simulated import Bill
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, record_to_wire, with_id
from fedlab.messages.orders import order_content, query_message
from fedlab.messages.pack import to_record
from fedlab.messages.replies import workload_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.encoding import plain_pass
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Cost, Workload, training_passes

pytestmark = pytest.mark.usefixtures("server_identity")

WORK = Workload(
    passes=training_passes(
        batches=10, cached_batches=4, batch_size=4, input_shape=(64,), model_blocks=4, depth=2, trained=bottleneck(8)
    ),
    num_examples=38,
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
    part = participation_of(sent(leaves_seconds=99.0), answer)
    assert (part.workload, part.partition_id, part.server_round, part.group) == (WORK, 3, 6, "deep")
    assert (part.start_seconds, part.leaves_seconds) == (50.0, 99.0)
    assert part.bytes_down == sent().order.num_bytes
    assert part.bytes_up == len(record_to_wire(answer.content))


def test_of_a_client_that_was_not_reached_nothing_came_back():
    gone = sent(leaves_seconds=50.0)
    part = participation_of(gone, error_reply(gone.message, CLIENT_RAISED, "gone"))
    assert not gone.reached
    assert (part.workload, part.bytes_up) == (None, 0)


def test_a_client_must_say_what_it_did():
    with pytest.raises(RunFailedError, match="client 3 reported no workload"):
        participation_of(sent(), reply())


@pytest.mark.parametrize(
    "record",
    [
        ConfigRecord({"method": "adapter", "batches": 3}),
        ConfigRecord(dict(workload_record(WORK)) | {"seconds": 1.0}),
        ConfigRecord(dict(workload_record(WORK)) | {"num-examples": 10**18}),
        ConfigRecord(dict(workload_record(WORK)) | {"passes": b"[]"}),
        ConfigRecord(dict(workload_record(WORK)) | {"passes": "[" * 10_000}),
        MetricRecord({"batches": 3}),
    ],
)
def test_what_makes_no_sense_of_a_workload_is_an_error_in_its_place_and_one_client_refused(record):
    found = readable(reply(workload=record))
    assert found.has_error()
    assert found.error.reason.startswith("workload: ")
    bill = bill_of_failure(sent(), found)
    assert (bill.dropout, bill.reason) == ("refused", found.error.reason)


def test_what_can_be_read_and_what_is_an_error_already_stay_as_they_are():
    failure = error_reply(sent().message, CLIENT_RAISED, "ValueError: no")
    for answer in (reply(workload=workload_record(WORK)), reply(), failure):
        assert readable(answer) is answer


def test_an_order_says_what_is_trained_where_its_client_cannot():
    configuration = {"set": "bottleneck", "depth": 3, "width": 16}
    content = order_content(to_record({}), server_round=6, configuration=configuration)
    ordered = sent(message=with_id(Message(content, 17, MessageType.TRAIN), "1"))
    failure = error_reply(ordered.message, CLIENT_RAISED, "ValueError: no")
    record = record_of(ordered, bill_of_failure(ordered, failure), None, failure, "rpi-4b")
    assert record.configuration == configuration
    part = participation_of(ordered, reply(workload=workload_record(WORK)))
    assert part.configuration == configuration


def test_queries_are_not_billed():
    assert not sent(message=query_message(17)).billed
    assert sent().billed


def test_a_record_says_what_was_done_and_what_it_cost():
    answer = reply(workload=workload_record(WORK))
    bill = Bill(cost=COST, round_ends_seconds=64.0, latency_provenance="scaled")
    record = record_of(sent(), bill, participation_of(sent(), answer), answer, "rpi-4b")
    assert (record.server_round, record.group, record.partition_id, record.device) == (6, "deep", 3, "rpi-4b")
    assert (record.batches, record.cached_batches, record.num_examples) == (10, 4, 38)
    assert record.passes == [plain_pass(each) for each in WORK.passes]
    assert (record.train_loss, record.error, record.latency_provenance) == (0.5, None, "scaled")
    assert record.configuration == ADAPTERS
    assert (record.joules, record.idle_joules, record.seconds, record.round_seconds) == (86.0, 4.0, 10.0, 14.0)


def test_a_record_of_lost_work_says_how_far_it_came():
    answer = reply(workload=workload_record(WORK))
    bill = Bill(cost=COST, round_ends_seconds=64.0, dropout="gone", reason="went away", done=0.75)
    record = record_of(sent(), bill, participation_of(sent(), answer), answer, "rpi-4b")
    assert (record.batches, record.cached_batches, record.num_examples, record.train_loss) == (7, 3, 0, None)
    assert (record.dropout, record.error) == ("gone", "went away")


def test_of_a_client_that_failed_nothing_is_known_but_why():
    failure = error_reply(sent().message, CLIENT_RAISED, "ValueError: no")
    record = record_of(sent(), bill_of_failure(sent(), failure), None, failure, "rpi-4b")
    assert (record.seconds, record.joules, record.bytes_down, record.batches, record.passes) == (0.0, 0.0, 0, 0, None)
    assert (record.dropout, record.error, record.configuration) == ("failed", "ValueError: no", ADAPTERS)


def test_an_order_that_names_no_configuration_is_recorded_with_none():
    order, answer = sent(configuration=None), reply(workload=workload_record(WORK))
    bill = Bill(cost=COST, round_ends_seconds=64.0, latency_provenance="scaled")
    assert record_of(order, bill, participation_of(order, answer), answer, "rpi-4b").configuration == {}
