"""Any ClientApp, wrapped, reads and answers encoded orders without knowing it."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlab.codecs.transport.client import CodedClient, with_codecs
from fedlab.codecs.transport.reference import nothing
from fedlab.codecs.transport.server import CodingGrid
from fedlab.errors import UserError
from fedlab.messages.flower_private import envelope, record_to_wire, with_id
from fedlab.messages.orders import order_content, read_codec
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import read_workload
from fedlab.messages.trains_together import TrainsTogether
from fedlab.models.peft.bottleneck import Bottleneck, initial_arrays
from fedlab.server.factory import load_client
from fedlab.simulation.engine.actor import Asked, ClientActor, ClientSetup

pytestmark = pytest.mark.usefixtures("server_identity")

SHAPE = (4, 300)


class Shifting(ClientApp):
    """Adds the partition's number, several clients at a time if asked to; notes what it was sent."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.train()(lambda message, context: self.train_together([message], [context])[0])

    def train_together(self, messages, contexts):
        self.seen.append([message.content for message in messages])
        return [self._reply(message, context) for message, context in zip(messages, contexts, strict=True)]

    def _reply(self, message, context):
        shift = np.float32(context.node_config["partition-id"])
        arrays = {name: array + shift for name, array in from_record(message.content["arrays"]).items()}
        context.state["mine"] = ConfigRecord({"shift": float(shift)})
        content = RecordDict({"arrays": to_record(arrays), "metrics": MetricRecord({"num-examples": 1})})
        return Message(content, reply_to=message)


def context_of(partition, state=None):
    config = {"partition-id": partition, "num-partitions": 8}
    return Context(run_id=1, node_id=partition, node_config=config, state=state or RecordDict(), run_config={})


@pytest.fixture
def sent(memory_grid, coding):
    """Return a function that gives orders as a server with codecs sends them."""

    def orders(nodes, arrays, *, server_round=1, configuration=None, **codecs):
        inner = memory_grid(lambda message: None, nodes)
        grid = CodingGrid(inner, coding=coding(**codecs), reference=nothing, refuse=pytest.fail)
        content = order_content(to_record(arrays), server_round=server_round, configuration=configuration)
        grid.push_messages([Message(content, node, MessageType.TRAIN) for node in nodes])
        return inner.sent

    return orders


def wrapped(app, folder, **options):
    return with_codecs(app, reference=lambda context, names: {}, base=folder, **options)


@pytest.fixture
def model():
    return {"w": np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)}


def test_an_order_without_a_codec_is_answered_as_without_the_wrapping(tmp_path, model):
    message = with_id(Message(order_content(to_record(model), server_round=1), 3, MessageType.TRAIN), "1")
    bare, inside = Shifting(), Shifting()
    first, second = context_of(3), context_of(3)
    replies = [bare(message, first), wrapped(inside, tmp_path)(message, second)]
    assert record_to_wire(replies[0].content) == record_to_wire(replies[1].content)
    assert record_to_wire(first.state) == record_to_wire(second.state)
    assert inside.seen == [[message.content]]


def test_a_wrapped_client_trains_together_if_it_does_so_itself(tmp_path):
    assert isinstance(wrapped(Shifting(), tmp_path), TrainsTogether)
    assert not isinstance(wrapped(ClientApp(), tmp_path), TrainsTogether)


def test_the_client_is_told_a_plain_order(tmp_path, sent, model):
    app = Shifting()
    (message,) = sent([3], model, up=["int8"], down=["int8"])
    wrapped(app, tmp_path)(message, context_of(3))
    (((content,)),) = app.seen
    assert set(content) == {"arrays", "config"}
    assert content["config"]["server-round"] == 1
    np.testing.assert_allclose(from_record(content["arrays"])["w"], model["w"], atol=np.abs(model["w"]).max() / 127)


@pytest.mark.parametrize("memory", [None, ("int8",)])
def test_clients_answer_together_as_they_do_alone_and_share_what_they_are_told(tmp_path, sent, model, memory):
    codecs = {"up": ["int4"], "down": ["int8"], "memory": memory}
    app, nodes = Shifting(), [2, 3, 4]
    client, messages = wrapped(app, tmp_path), sent(nodes, model, **codecs)
    together = [context_of(node) for node in nodes]
    replies = client.train_together(messages, together)
    assert len({id(content) for content in app.seen[0]}) == 1
    for node, message, reply, context in zip(nodes, messages, replies, together, strict=True):
        alone = context_of(node)
        assert record_to_wire(client(message, alone).content) == record_to_wire(reply.content)
        assert record_to_wire(alone.state) == record_to_wire(context.state)
        assert "mine" in context.state


def test_a_client_that_sends_back_the_content_it_was_given_leaves_the_others_theirs(tmp_path, sent, model):
    class Echo(ClientApp):
        def train_together(self, messages, contexts):
            return [Message(message.content, reply_to=message) for message in messages]

    messages = sent([2, 3], model, up=["int8"])
    first, second = wrapped(Echo(), tmp_path).train_together(messages, [context_of(2), context_of(3)])
    assert first.content is not second.content
    assert record_to_wire(first.content) == record_to_wire(second.content)  # no change is the same for all
    assert "codec" in messages[0].content


def test_a_reply_without_arrays_needs_no_codec(tmp_path, sent, model):
    app = ClientApp()
    app.train()(lambda message, context: Message(RecordDict({"metrics": MetricRecord({"x": 1})}), reply_to=message))
    (message,) = sent([3], model, up=["int8"], memory=("int8",))
    context = context_of(3)
    reply = wrapped(app, tmp_path)(message, context)
    assert reply.content["metrics"]["x"] == 1
    assert not reply.content.array_records
    assert not context.state


def test_the_reference_is_asked_only_where_a_model_was_sent_encoded(tmp_path, sent, model):
    asked = []
    client = with_codecs(Shifting(), reference=lambda context, names: asked.append(names) or {}, base=tmp_path)
    client(sent([3], model, up=["int8"])[0], context_of(3))
    assert asked == []
    client(sent([3], model, down=["int8"])[0], context_of(3))
    assert asked == [["w"]]


def test_a_client_runs_no_codec_that_its_own_experiment_does_not_name(tmp_path, sent, model):
    (message,) = sent([3], model, up=["fedlab.codecs.quantiser:fp16"])
    with pytest.raises(UserError, match="neither built in nor named in the client's own experiment"):
        wrapped(Shifting(), tmp_path)(message, context_of(3))
    trusted = ["fedlab.codecs.quantiser:fp16"]
    assert wrapped(Shifting(), tmp_path, trusted=trusted)(message, context_of(3)).content["codec"]


def test_every_client_that_is_loaded_is_wrapped(tmp_path):
    (tmp_path / "mine.py").write_text("from flwr.clientapp import ClientApp\n\napp = ClientApp()\n")
    assert isinstance(load_client("mine.py:app", {}, tmp_path), CodedClient)
    assert isinstance(load_client("adapter", {"epochs": 2}, tmp_path), TrainsTogether)


def test_an_actor_trains_the_adapter_client_in_packs_on_encoded_models(bundle, workbench, sent, tmp_path, monkeypatch):
    monkeypatch.setattr(ClientActor, "_answer", lambda *_: pytest.fail("asked alone"))
    shape = workbench.network.encoder.shape
    trained = Bottleneck(depth=2, width=8)
    arrays = initial_arrays(
        trained,
        blocks=shape.blocks,
        hidden=shape.hidden,
        labels=2,
        generator=np.random.default_rng(0),
    )
    setup = ClientSetup(
        reference="adapter",
        options={"max_batches": 1},
        base_folder=tmp_path,
        bundle=bundle,
        num_partitions=8,
    )
    codecs = {"up": ["int8"], "down": ["int8"], "memory": ("int8",)}
    messages = sent([2, 3], arrays, configuration=trained.configuration, **codecs)
    asked = [Asked(message=envelope(each), partition_id=each.metadata.dst_node_id, state=b"") for each in messages]
    answers = ClientActor(setup).handle(asked, messages[0].content).result
    assert [answer.traceback for answer in answers] == [None, None]
    for answer, message in zip(answers, messages, strict=True):
        assert answer.reply.content["codec"]["ticket"] == read_codec(message).ticket
        assert read_workload(answer.reply).trained_blocks == 2
        (frame,) = answer.reply.content["arrays"].values()
        assert frame.shape[0] < 1.1 * sum(array.size for array in arrays.values())
        assert answer.state
