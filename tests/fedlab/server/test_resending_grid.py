"""Models that clients have kept are not sent; clients that have not kept them are sent the order again."""

import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict

from fedlab.messages.flower_private import CLIENT_RAISED, error_reply
from fedlab.messages.kept_model import as_kept, lacking_reply, lacks_model
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.probes import arrays_of
from fedlab.server.resending_grid import ResendingGrid

NODES = range(50, 54)
MODEL = {"w": np.arange(3, dtype=np.float32)}


class Clients:
    """Nodes that answer with the model they have; `lacking` have kept none, and `failing` raise."""

    def __init__(self, memory_grid, *, lacking=(), failing=(), stubborn=()):
        self.lacking, self.failing, self.stubborn, self.notes = lacking, failing, stubborn, []
        self.inner = memory_grid(self.answer, NODES)
        self.grid = ResendingGrid(self.inner, note=self.notes.append)

    def answer(self, message):
        node = message.metadata.dst_node_id
        if node in self.failing:
            return error_reply(message, CLIENT_RAISED, "failed")
        if node in self.stubborn or (node in self.lacking and arrays_of(message) is None):
            return lacking_reply(message)
        return Message(RecordDict(dict(message.content)), reply_to=message)

    @property
    def sent(self):
        """What was sent: the node, and whether with the model."""
        return [(each.metadata.dst_node_id, arrays_of(each) is not None) for each in self.inner.sent]


@pytest.fixture
def clients(memory_grid):
    return lambda **kinds: Clients(memory_grid, **kinds)


def orders(*, kept):
    content = order_content(to_record(MODEL), server_round=1, configuration={})
    content = as_kept(content) if kept else content
    return [Message(content, node, MessageType.TRAIN) for node in NODES]


def senders(replies):
    return [reply.metadata.src_node_id for reply in replies]


def test_orders_with_the_model_pass_as_they_are(clients):
    run, asked = clients(), orders(kept=False)
    replies = run.grid.send_and_receive(asked)
    assert run.sent == [(node, True) for node in NODES]
    assert run.inner.sent[0].content is asked[0].content
    assert senders(replies) == list(NODES)


def test_a_kept_model_is_left_out_and_the_content_stays_shared(clients):
    run = clients()
    run.grid.send_and_receive(orders(kept=True))
    assert run.sent == [(node, False) for node in NODES]
    assert len({id(each.content) for each in run.inner.sent}) == 1
    assert run.notes == []


def test_who_lacks_the_model_is_asked_again_with_it_and_answers_in_its_place(clients):
    run = clients(lacking=(51, 53), failing=(52,))
    replies = run.grid.send_and_receive(orders(kept=True))
    assert run.sent == [*((node, False) for node in NODES), (51, True), (53, True)]
    assert senders(replies) == list(NODES)
    assert [reply.has_error() for reply in replies] == [False, False, True, False]
    np.testing.assert_array_equal(arrays_of(replies[1])["w"], MODEL["w"])
    assert run.notes == ["2 clients had not kept the model, and were sent it again"]


def test_a_model_is_sent_again_once_whatever_the_client_says(clients):
    run = clients(stubborn=(50,))
    replies = run.grid.send_and_receive(orders(kept=True))
    assert len(run.sent) == len(NODES) + 1
    assert [lacks_model(reply) for reply in replies] == [True, False, False, False]


def test_a_client_that_lacks_a_model_which_it_was_sent_is_not_asked_again(clients):
    run = clients(stubborn=(50,))
    replies = run.grid.send_and_receive(orders(kept=False))
    assert len(run.sent) == len(NODES)
    assert lacks_model(replies[0])


@pytest.mark.parametrize("kinds", [{"lacking": (51,)}, {"stubborn": (51,)}], ids=str)
def test_replies_that_are_pulled_answer_the_messages_that_were_pushed(clients, kinds):
    run = clients(**kinds)
    ids = run.grid.push_messages(orders(kept=True))
    first = run.grid.pull_messages(ids)
    assert sorted(senders(first)) == [50, 52, 53]
    (last,) = run.grid.pull_messages(ids)
    assert (last.metadata.src_node_id, last.metadata.reply_to_message_id) == (51, ids[1])
    assert lacks_model(last) == ("stubborn" in kinds)
    assert run.sent[-1] == (51, True)
    assert run.grid.pull_messages(ids) == []


def test_an_error_in_the_place_of_the_second_reply_answers_the_first_message(clients):
    run = clients(lacking=(51,))
    ids = run.grid.push_messages(orders(kept=True))
    run.failing = (51,)
    run.grid.pull_messages(ids)
    (last,) = run.grid.pull_messages(ids)
    assert last.has_error()
    assert last.metadata.reply_to_message_id == ids[1]
