"""A strategy above a grid that encodes sees whole models, and knows nothing of it."""

import copy

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlab.codecs.transport.client import with_codecs
from fedlab.codecs.transport.delta import is_encoded
from fedlab.codecs.transport.reference import nothing
from fedlab.codecs.transport.server import CodingGrid
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, record_bytes, record_from_wire, record_to_wire
from fedlab.messages.orders import order_content, query_message, read_codec, read_order
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import query_reply
from fedlab.messages.updates import add_kind, kind_of

NODES = [3, 4, 5]
SHAPE = (20, 300)
MODEL = {"w": np.full(SHAPE, 10.0, np.float32), "b": np.arange(7, dtype=np.float32)}

pytestmark = pytest.mark.usefixtures("server_identity")


@pytest.fixture
def adding(update):
    """Return a client that adds to every matrix an update drawn for its round and partition, to vectors a half."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        order = read_order(message)
        partition = context.node_config["partition-id"]
        arrays = {
            name: array + (update(order.server_round, partition, array.shape) if array.ndim == 2 else np.float32(0.5))
            for name, array in order.arrays.items()
        }
        metrics = MetricRecord({"num-examples": partition, "train-loss": 1.0})
        return Message(RecordDict({"arrays": to_record(arrays), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        arrays = read_order(message).arrays
        metrics = MetricRecord({"num-examples": 1, "mean": float(arrays["w"].mean())})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    @app.query()
    def query(message, context):
        return query_reply(message, context.node_config["partition-id"])

    return app


@pytest.fixture
def coded(memory_grid, nodes, coding, adding, tmp_path):
    """Return a function that makes an encoding grid above clients; what it sends, gets and refuses is noted."""

    def make(*, app=None, reference=nothing, wrong=lambda reply: reply, **codecs):
        client = with_codecs(app or adding, reference=lambda context, names: reference(names), base=tmp_path)
        clients, replies, refused = nodes(client), [], []

        def answer(message):
            message.content = record_from_wire(record_to_wire(message.content))
            reply = wrong(clients.answer(message))
            replies.append(copy.deepcopy(reply))
            return reply

        inner = memory_grid(answer, NODES)
        grid = CodingGrid(
            inner, coding=coding(**codecs), reference=reference, refuse=lambda *told: refused.append(told)
        )
        grid.sent, grid.replies, grid.refused, grid.clients = inner.sent, replies, refused, clients
        return grid

    return make


def orders(server_round=1, model=MODEL, nodes=NODES, kind=MessageType.TRAIN):
    content = order_content(to_record(model), server_round=server_round)
    return [Message(content, node, kind) for node in nodes]


def arrays_of(reply):
    return from_record(reply.content["arrays"])


def test_a_strategy_gets_what_was_trained_within_what_the_codec_loses(coded, update):
    grid = coded(up=["int8"])
    replies = list(grid.send_and_receive(orders()))
    assert [reply.metadata.src_node_id for reply in replies] == NODES
    for node, reply in zip(NODES, replies, strict=True):
        found = arrays_of(reply)
        assert list(found) == list(MODEL)
        step = np.abs(update(1, node)).max() / 127
        assert 0 < np.abs(found["w"] - MODEL["w"] - update(1, node)).max() <= step * 1.001
        np.testing.assert_allclose(found["b"], MODEL["b"] + 0.5, atol=1e-5)
        assert set(reply.content) == {"arrays", "metrics"}


@pytest.mark.parametrize("kind", ["delta", "gradient"])
def test_of_an_update_that_is_no_model_nothing_is_subtracted_before_it_is_encoded(coded, update, kind):
    app = ClientApp()

    @app.train()
    def train(message, context):
        change = {name: update(1, 4, array.shape) * np.float32(1e-3) for name, array in MODEL.items() if name == "w"}
        metrics = MetricRecord({"num-examples": 1, "train-loss": 1.0})
        content = RecordDict({"arrays": to_record(change), "metrics": metrics})
        add_kind(content, kind)
        return Message(content, reply_to=message)

    (reply,) = coded(up=["int8"], app=app).send_and_receive(orders(nodes=[4]))
    change = update(1, 4) * np.float32(1e-3)  # the model is 10: a step of a quantised difference to it would be 0.08
    assert np.abs(arrays_of(reply)["w"] - change).max() <= np.abs(change).max() / 127 * 1.001
    assert kind_of(reply.content) == kind


def test_messages_can_be_pushed_and_pulled_as_well(coded):
    one, other = coded(up=["int8"]), coded(up=["int8"])
    ids = list(one.push_messages(orders()))
    pulled = list(one.pull_messages(ids[1:])) + list(one.pull_messages(ids[:1]))
    found = {reply.metadata.src_node_id: arrays_of(reply) for reply in pulled}
    for reply in other.send_and_receive(orders()):
        np.testing.assert_array_equal(found[reply.metadata.src_node_id]["w"], arrays_of(reply)["w"])


def test_messages_that_share_a_content_still_do(memory_grid, coding):
    inner = memory_grid(lambda message: None, NODES)
    grid = CodingGrid(inner, coding=coding(up=["int8"], down=["int8"]), reference=nothing, refuse=pytest.fail)
    trained, evaluated = orders(nodes=[3, 4]), orders(nodes=[5], kind=MessageType.EVALUATE)
    evaluated[0].content = trained[0].content
    grid.push_messages([*trained, *evaluated])
    first, second, third = inner.sent
    assert first.content is second.content is not third.content
    assert [read_codec(message).ticket for message in (first, third)] == ["00000001", ""]


def test_the_messages_of_a_strategy_are_left_as_they_are(coded):
    messages = orders()
    before = record_to_wire(messages[0].content)
    coded(up=["int8"], down=["int8"]).send_and_receive(messages)
    assert record_to_wire(messages[0].content) == before


@pytest.mark.parametrize(("codec", "bits"), [("int8", 8), ("int4", 4), ("fp16", 16)])
def test_a_reply_takes_its_share_of_the_bytes_and_its_headers(coded, codec, bits):
    model = {"w": np.zeros((400, 768), np.float32)}
    grid = coded(up=[codec])
    grid.send_and_receive(orders(model=model))
    scales = 0 if codec == "fp16" else 4 * 400
    for reply in grid.replies:
        size = record_bytes(reply.content)
        assert 400 * 768 * bits // 8 + scales < size < 400 * 768 * bits // 8 + scales + 400


@pytest.mark.parametrize(("codec", "times"), [("int8", 4), ("int4", 8)])
def test_a_narrow_adapter_too_shrinks_about_as_much(coded, codec, times):
    shapes = {f"block.{block}.{name}": shape for block in range(4) for name, shape in ADAPTER.items()}
    model = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    grid, values = coded(up=[codec]), sum(int(np.prod(shape)) for shape in shapes.values())
    grid.send_and_receive(orders(model=model))
    assert record_bytes(grid.replies[0].content) < 4 * values / times * 1.1


ADAPTER = {"down.weight": (8, 384), "down.bias": (8,), "up.weight": (384, 8), "up.bias": (384,)}


def test_by_default_what_is_sent_down_is_plain_but_for_what_to_answer_with(coded):
    grid, (message, *_) = coded(up=["int8"]), orders()
    grid.send_and_receive([message])
    (sent,) = grid.sent
    assert sent.content["arrays"] == message.content["arrays"]
    assert set(sent.content) == {"arrays", "config", "codec"}
    assert record_bytes(sent.content) - record_bytes(message.content) < 150


def test_a_model_sent_down_encoded_is_smaller_and_clients_start_from_what_they_decode(coded):
    draws = np.random.default_rng(0)
    model = {"w": draws.normal(size=SHAPE).astype(np.float32)}
    grid = coded(down=["int4"])
    (reply,) = grid.send_and_receive(orders(model=model, nodes=[3], kind=MessageType.EVALUATE))
    assert record_bytes(grid.sent[0].content) < 4 * 6000 / 8 * 1.15
    mean = reply.content["metrics"]["mean"]
    assert 0 < abs(mean - float(model["w"].mean())) < 0.05


def test_what_is_lost_on_the_way_down_does_not_get_into_the_model(coded, update):
    model = {"w": np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)}
    (reply,) = coded(down=["int4"]).send_and_receive(orders(model=model, nodes=[3]))
    np.testing.assert_allclose(arrays_of(reply)["w"], model["w"] + update(1, 3), atol=1e-5)


def test_a_model_near_the_reference_is_sent_down_precisely(coded):
    reference = {"w": np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)}
    model = {"w": reference["w"] + np.float32(1e-3)}
    grid = coded(down=["int8"], reference=lambda names: reference)
    (reply,) = grid.send_and_receive(orders(model=model, nodes=[3], kind=MessageType.EVALUATE))
    assert reply.content["metrics"]["mean"] == pytest.approx(float(model["w"].mean()), abs=1e-5)


def test_evaluation_is_left_alone_unless_models_are_sent_down_encoded(coded):
    grid = coded(up=["int8"])
    (reply,) = grid.send_and_receive(orders(nodes=[3], kind=MessageType.EVALUATE))
    assert "codec" not in grid.sent[0].content
    assert reply.content["metrics"]["mean"] == 10.0


def test_queries_pass_through(coded):
    grid = coded(up=["int8"], down=["int8"])
    (reply,) = grid.send_and_receive([query_message(4)])
    assert reply.content["client"]["partition-id"] == 4


def test_a_client_that_knows_no_codecs_is_taken_at_its_word(memory_grid, nodes, coding, adding, update):
    clients = nodes(adding)
    grid = CodingGrid(
        memory_grid(clients.answer, NODES), coding=coding(up=["int8"]), reference=nothing, refuse=pytest.fail
    )
    (reply,) = grid.send_and_receive(orders(nodes=[3]))
    np.testing.assert_array_equal(arrays_of(reply)["w"], MODEL["w"] + update(1, 3))


def test_a_client_that_fails_stays_an_error(coded):
    def fails(reply):
        return error_reply(reply, CLIENT_RAISED, "no")

    (reply,) = coded(up=["int8"], wrong=fails).send_and_receive(orders(nodes=[3]))
    assert reply.error.code == CLIENT_RAISED


def garbled(reply):
    frame = next(iter(reply.content["arrays"].values())).numpy()
    reply.content["arrays"] = ArrayRecord({next(iter(reply.content["arrays"])): Array(frame[:-1])})
    return reply


def of_another_order(reply):
    reply.content["codec"] = ConfigRecord({"ticket": "nonsense"})
    return reply


def no_array_at_all(reply):
    reply.content["arrays"] = ArrayRecord(
        {name: Array("uint8", (3,), "numpy.ndarray", b"no NumPy file") for name in reply.content["arrays"]}
    )
    return reply


def under_another_key(reply):
    reply.content["other"] = reply.content.pop("arrays")
    return reply


WRONG = {
    garbled: "b: 7 bytes expected, 6 left",
    of_another_order: "it answers an order that is too old",
    no_array_at_all: "the frame is not an array",
    under_another_key: "no record 'other' was sent",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_reply_that_cannot_be_read_becomes_an_error_with_the_reason(coded, wrong):
    def wrong_from_4(reply):
        return wrong(reply) if reply.metadata.src_node_id == 4 else reply

    grid = coded(up=["int8"], wrong=wrong_from_4)
    replies = list(grid.send_and_receive(orders()))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    ((node, reason),) = grid.refused
    assert node == 4
    assert reason == replies[1].error.reason
    assert reason == f"the encoded reply cannot be read: {WRONG[wrong]}"
    assert replies[1].metadata.reply_to_message_id == grid.sent[1].metadata.message_id


def test_nothing_is_remembered_once_all_have_answered_well_or_not(coded):
    grid = coded(up=["int8"], wrong=lambda reply: garbled(reply) if reply.metadata.src_node_id == 4 else reply)
    grid.send_and_receive(orders())
    assert not any(grid._calls)


def test_a_late_reply_is_read_by_what_its_own_order_sent(coded, update):
    grid = coded(up=["fp16"])
    (late,) = grid.push_messages(orders(nodes=[3]))
    grid.send_and_receive(orders(2, {"w": -MODEL["w"]}, nodes=[4]))
    (reply,) = grid.pull_messages([late])
    np.testing.assert_allclose(arrays_of(reply)["w"], MODEL["w"] + update(1, 3), atol=1e-2)


def test_a_reply_from_long_ago_is_refused_rather_than_misread(coded):
    grid = coded(up=["int8"])
    (late,) = grid.push_messages(orders(nodes=[3]))
    for server_round in range(2, 7):
        grid.send_and_receive(orders(server_round, nodes=[4]))
    (reply,) = grid.pull_messages([late])
    assert reply.error.reason == "the encoded reply cannot be read: it answers an order that is too old"


@pytest.mark.parametrize("codecs", [{"up": ["int8"]}, {"up": ["int4"], "down": ["int4"], "memory": ("int8",)}])
def test_draws_depend_on_round_and_client_only(coded, codecs):
    def wires(nodes, server_round):
        grid = coded(**codecs)
        grid.send_and_receive(orders(server_round, nodes=nodes))
        return {reply.metadata.src_node_id: record_to_wire(reply.content) for reply in grid.replies}

    together, alone = wires(NODES, 1), wires([4], 1)
    assert together[4] == alone[4]
    assert len({*together.values(), *wires(NODES, 2).values()}) == 6


def test_error_feedback_makes_up_for_what_earlier_rounds_lost(coded, update):
    def off(memory):
        grid, total, meant = coded(up=["top-k:0.1"], memory=memory), 0.0, 0.0
        for _ in range(30):
            (reply,) = grid.send_and_receive(orders(1, {"w": MODEL["w"]}, nodes=[3]))  # the same update every time
            total = total + arrays_of(reply)["w"] - MODEL["w"]
            meant = meant + update(1, 3)
        return np.linalg.norm(total - meant) / np.linalg.norm(meant)

    with_feedback, without = off(("skip-zero-rows", "int8")), off(None)
    assert with_feedback < 0.2
    assert without > 0.5


def test_a_client_keeps_its_residual_in_its_state_and_compact(coded):
    grid = coded(up=["int8"], memory=("skip-zero-rows", "int8"))
    grid.send_and_receive(orders())
    for node in NODES:
        (record,) = grid.clients.states[node].values()
        assert is_encoded(ArrayRecord({"fedlab.frame": record["arrays"]}))
        assert record_bytes(grid.clients.states[node]) < 6000 * 2 / 3 * 1.15  # of three rows one is zero
