"""Messages carry what server and clients say to each other unchanged, in records that Flower's own strategies take."""

import json
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import strategy

from fedlab.errors import UserError
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, record_from_wire, record_to_wire, with_id
from fedlab.messages.orders import (
    PREFILL,
    group_of,
    order_content,
    query_message,
    read_order,
    read_terms,
    server_round_of,
)
from fedlab.messages.pack import from_record, to_record, values_of
from fedlab.messages.replies import (
    EvaluateReport,
    TrainReport,
    add_cost,
    evaluate_reply,
    late_seconds_of,
    prefill_reply,
    query_reply,
    read_cost,
    read_query_reply,
    read_train_loss,
    read_workload,
    train_reply,
    unreadable_workload,
    workload_flaw,
    workload_record,
)
from fedlab.messages.round_terms import RoundTerms
from fedlab.models.peft.bottleneck import array_shapes, initial_arrays
from fedlab.models.peft.config import AdapterConfig
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


def test_arrays_keep_name_order_shape_and_bits():
    arrays = {
        "z": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array([], np.float32),
        "n": np.array([np.nan, -0.0, np.inf], np.float32),
    }
    assert_same(from_record(to_record(arrays)), arrays)


def test_what_a_strategy_of_flowers_computed_in_double_precision_is_float32_again():
    found = from_record(to_record({"x": np.array([1 / 3], np.float64)}))
    assert_same(found, {"x": np.array([1 / 3], np.float32)})


def test_arrays_that_are_views_arrive_as_their_values():
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_same(from_record(to_record({"t": matrix.T, "s": matrix[:, ::2]})), {"t": matrix.T, "s": matrix[:, ::2]})


def test_a_models_arrays_arrive_with_the_shapes_of_its_configuration():
    sizes = {"blocks": 3, "hidden": 16, "labels": 4}
    config = AdapterConfig(depth=2, width=8)
    arrays = initial_arrays(config, **sizes, generator=np.random.default_rng(0))
    found = read_order(order(arrays)).arrays
    assert {name: array.shape for name, array in found.items()} == array_shapes(config, **sizes)


def test_an_order_says_its_round_and_its_group():
    read = read_order(order({"x": np.ones(2, np.float32)}, server_round=12, group="deep"))
    assert (read.server_round, read.group, read.proximal_mu) == (12, "deep", 0.0)


def test_round_and_group_can_be_told_without_unpacking_the_arrays():
    message = order({}, server_round=3, group="wide")
    assert (server_round_of(message), group_of(message)) == (3, "wide")


@pytest.mark.parametrize(
    "terms",
    [
        RoundTerms(),
        RoundTerms(deadline_seconds=12.5),
        RoundTerms(wait_for=3),
        RoundTerms(deadline_seconds=1.0, wait_for=1, late="carry"),
    ],
)
def test_an_order_says_on_what_terms_its_round_is_held(terms):
    message = order({}, terms=terms)
    message.content = record_from_wire(record_to_wire(message.content))
    assert read_terms(message) == terms


def test_an_order_that_does_not_say_waits_for_all_and_is_no_longer_for_it():
    assert read_terms(Message(RecordDict(), 7, MessageType.TRAIN)) == RoundTerms()
    assert order({}, terms=RoundTerms()).content == order({}).content


def test_a_reply_says_how_late_it_is():
    reply = trained({}, num_examples=1)
    assert late_seconds_of(reply) == 0.0
    add_cost(reply, replace(COST, idle_seconds=0.0, late_seconds=7.5))
    assert late_seconds_of(reply) == 7.5


def test_an_order_without_a_config_is_of_round_zero_and_no_group():
    message = Message(RecordDict({"arrays": ArrayRecord()}), 7, MessageType.TRAIN)
    read = read_order(message)
    assert (read.server_round, read.group, read.proximal_mu) == (0, "", 0.0)


def test_an_order_of_flowers_fedprox_brings_its_proximal_term(memory_grid):
    grid = memory_grid(lambda message: None, [7, 8])
    fedprox = strategy.FedProx(fraction_evaluate=0.0, proximal_mu=0.25)
    arrays = {"x": np.ones(2, np.float32)}
    messages = list(fedprox.configure_train(4, to_record(arrays), ConfigRecord(), grid))
    assert len(messages) == 2
    for message in messages:
        read = read_order(message)
        assert (read.server_round, read.proximal_mu) == (4, 0.25)
        assert_same(read.arrays, arrays)


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


def test_a_workload_travels_as_its_passes_in_one_text_and_its_examples():
    record = workload_record(WORKLOAD)
    assert set(record) == {"passes", "num-examples"}
    assert json.loads(record["passes"])[0] == ["forward", 3, 4, [64], [0, 4]]


FLAWS = {
    "an old workload": ({"method": "adapter", "batches": 3}, "expected a config record of passes and num-examples"),
    "a key more": ({"passes": "[]", "num-examples": 1, "seconds": 3}, "expected a config record of passes and num-ex"),
    "passes as bytes": ({"passes": b"[]", "num-examples": 1}, "workload: passes is not text"),
    "truth for examples": ({"passes": "[]", "num-examples": True}, "workload: num_examples is True"),
    "half an example": ({"passes": "[]", "num-examples": 0.5}, "workload: num_examples is 0.5"),
    "passes in words": ({"passes": "three", "num-examples": 1}, "workload: passes is not JSON"),
}


@pytest.mark.parametrize("case", FLAWS)
def test_what_makes_no_sense_of_a_workload_is_told_in_a_line_and_never_raised(case):
    record, problem = FLAWS[case]
    reply = trained({}, num_examples=11)
    reply.content["workload"] = ConfigRecord(record)
    assert problem in unreadable_workload(reply)
    assert workload_flaw(reply) == unreadable_workload(reply)
    with pytest.raises(UserError):
        read_workload(reply)


@pytest.mark.parametrize("kind", [MessageType.TRAIN, MessageType.EVALUATE, PREFILL])
def test_a_reply_to_an_order_must_say_what_was_done_and_an_answer_or_an_error_need_not(kind):
    ordered = order({}, kind=kind)
    assert workload_flaw(Message(RecordDict(), reply_to=ordered)) == "it reports no workload"
    assert workload_flaw(prefill_reply(ordered, WORKLOAD)) is None
    assert workload_flaw(error_reply(ordered, CLIENT_RAISED, "no")) is None
    assert workload_flaw(query_reply(query_message(7), 3)) is None


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


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_as_flower_reads_it(dtype, shape, order):
    array = Array(np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype, order=order))
    read, expected = values_of(array), array.numpy()
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == expected.dtype
    assert read.flags.writeable


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 0, 3), (1,) * 64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_packed_byte_for_byte_as_flower_packs_it(dtype, shape, order):
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype, order=order)
    assert to_record({"x": array})["x"] == Array(np.ascontiguousarray(array))


def test_an_array_of_objects_is_not_packed():
    with pytest.raises(ValueError, match="Object arrays"):
        to_record({"x": np.array([{}])})


def test_an_array_with_a_long_header_is_read_as_flower_reads_it():
    array = Array(np.zeros((1,) * 64, np.float32))
    assert values_of(array).shape == (1,) * 64
