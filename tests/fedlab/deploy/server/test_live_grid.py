import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlab.deploy.server.live_grid import LiveGrid
from fedlab.deploy.settings import WaitSettings
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import (
    CLIENT_CRASHED,
    CLIENT_RAISED,
    CLIENT_UNAVAILABLE,
    MESSAGE_EXPIRED,
    REPLY_LATE,
    error_reply,
)
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.replies import TrainReport, add_board, query_reply, train_reply, workload_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

ARRAYS = {"w": np.ones(2, np.float32)}
WORKLOAD = Workload(
    passes=training_passes(batches=4, batch_size=4, input_shape=(16,), model_blocks=2, depth=1, trained=bottleneck(8)),
    num_examples=14,
)


class World:
    """Nodes 10, 11, 12 hold partitions 0, 1, 2; time passes when told to."""

    def __init__(self, memory_grid):
        self.seconds, self.said = 0.0, []
        self.train = lambda message: train_reply(
            message, TrainReport(arrays=ARRAYS, num_examples=14, train_loss=0.5, workload=WORKLOAD)
        )
        self.query = lambda message: query_reply(message, message.metadata.dst_node_id - 10)
        self.below = memory_grid(self.answer, [10, 11, 12])
        self.grid = LiveGrid(
            self.below,
            wait=WaitSettings(nodes=3, wait_seconds=0.01, reply_seconds=600.0),
            tell=self.said.append,
            now_seconds=lambda: self.seconds,
        )

    def answer(self, message):
        return (self.query if message.metadata.message_type == MessageType.QUERY else self.train)(message)

    def order(self, nodes=(10, 11, 12), **terms):
        content = order_content(to_record(ARRAYS), server_round=1, terms=RoundTerms(**terms))
        return self.grid.push_messages([Message(content, node, MessageType.TRAIN) for node in nodes])

    def errors(self, ids):
        """Return code and reason by node of the replies that are errors."""
        return {
            reply.metadata.src_node_id: (reply.error.code, reply.error.reason)
            for reply in self.grid.pull_messages(ids)
            if reply.has_error()
        }

    def hang(self, node):
        """Let a node sit over the first order it is given, and answer nothing that comes behind it."""
        train, query = self.train, self.query
        self.train, self.query = silent_from(node, train), silent_from(node, query)

    def queries(self, node):
        kinds = [(each.metadata.dst_node_id, each.metadata.message_type) for each in self.below.sent]
        return kinds.count((node, MessageType.QUERY))

    def come_to(self, node, reply=None, *, query=-1):
        """Let a node answer the last query it was sent, with what it holds unless told otherwise."""
        sent = [each for each in self.below.sent if each.metadata.dst_node_id == node]
        asked = [each for each in sent if each.metadata.message_type == MessageType.QUERY][query]
        self.below._replies[asked.metadata.message_id] = reply(asked) if reply else query_reply(asked, node - 10)


@pytest.fixture
def world(memory_grid):
    return World(memory_grid)


def silent_from(node, answer):
    return lambda message: None if message.metadata.dst_node_id >= node else answer(message)


def test_nodes_are_listed_once_they_have_said_what_they_hold(world):
    assert world.grid.gather() == [10, 11, 12]
    assert world.grid.partitions == {10: 0, 11: 1, 12: 2}
    assert sum(message.metadata.message_type == MessageType.QUERY for message in world.below.sent) == 3
    world.grid.get_node_ids()
    assert len(world.below.sent) == 3  # nobody is asked twice


def test_a_run_starts_with_those_that_came_in_time_and_says_whom_it_waited_for(world):
    world.query = silent_from(12, world.query)
    assert world.grid.gather() == [10, 11]
    assert any("waiting for 3 nodes: " in text for text in world.said)


def test_too_few_nodes_end_the_wait_with_the_reason(world):
    world.query = lambda message: None
    with pytest.raises(RunFailedError, match="0 nodes are available and 1 are needed"):
        world.grid.gather()


def test_a_node_that_cannot_say_what_it_holds_is_left_out_with_the_reason(world):
    honest = world.query

    def query(message):
        node = message.metadata.dst_node_id
        if node == 10:
            return error_reply(message, 2, "no such file")
        if node == 11:
            return Message(RecordDict({"client": ConfigRecord({"partition-id": "first"})}), reply_to=message)
        return honest(message)

    world.query = query
    assert world.grid.gather() == [12]
    assert "node 10 is left out: no such file" in world.said
    assert any(text.startswith("node 11 is left out: its answer cannot be read") for text in world.said)


def test_of_two_nodes_with_one_partition_the_later_counts(world):
    world.grid.gather()
    world.query = lambda message: query_reply(message, 0)
    world.below._nodes.append(99)
    assert world.grid.get_node_ids() == [99, 11, 12]
    assert world.grid.partitions[10] == 0  # what it still has to say is billed to its partition


def test_a_node_that_went_away_and_came_back_is_asked_again(world):
    world.grid.gather()
    world.below._nodes.remove(11)
    assert world.grid.get_node_ids() == [10, 12]
    world.query = lambda message: query_reply(message, 7)
    world.below._nodes.append(11)
    world.grid.get_node_ids()
    assert world.grid.partitions[11] == 7


def test_a_board_is_what_the_node_says(world):
    def query(message):
        reply = query_reply(message, message.metadata.dst_node_id - 10)
        add_board(reply, "rpi-4b")
        return reply

    world.query = query
    world.grid.gather()
    assert (world.grid.board(1), world.grid.board(5)) == ("rpi-4b", "")


def test_replies_come_through_as_they_are(world):
    world.grid.gather()
    replies = world.grid.pull_messages(world.order())
    assert [reply.metadata.src_node_id for reply in replies] == [10, 11, 12]
    assert not any(reply.has_error() for reply in replies)


def test_a_silent_node_is_given_up_after_its_time_and_not_before(world):
    world.train = silent_from(12, world.train)
    ids = world.order()
    assert world.errors(ids) == {}
    world.seconds = 599.0
    assert world.errors(ids) == {}
    world.seconds = 600.0
    assert world.errors(ids) == {12: (CLIENT_UNAVAILABLE, "silent for 10.0 min")}
    assert world.grid.pull_messages(ids) == []  # each order is answered once


def test_those_who_are_not_done_when_enough_are_are_late(world):
    world.train = silent_from(12, world.train)
    ids = world.order(wait_for=2)
    assert world.errors(ids) == {12: (REPLY_LATE, "late: 2 others were done first, after 0.00 s")}


def test_a_deadline_is_kept_in_real_time(world):
    world.train = silent_from(11, world.train)
    ids = world.order(deadline_seconds=30.0)
    world.seconds = 29.0
    assert world.errors(ids) == {}
    world.seconds = 30.0
    assert {node: code for node, (code, _) in world.errors(ids).items()} == {11: REPLY_LATE, 12: REPLY_LATE}


@pytest.mark.parametrize(("terms", "seconds"), [({}, 660.0), ({"deadline_seconds": 30.0}, 90.0)])
def test_an_order_lives_a_minute_longer_than_its_answer_can_count(world, terms, seconds):
    world.order(nodes=[10], **terms)
    assert world.below.sent[-1].metadata.ttl == seconds


def test_a_client_that_hangs_costs_one_round_and_not_every_one(world):
    world.grid.gather()
    world.hang(12)
    ids = world.order()
    world.seconds = 600.0
    assert list(world.errors(ids)) == [12]
    world.seconds = 1000.0
    assert world.grid.get_node_ids() == [10, 11]
    assert "client 2 is left out until it has finished that order, for at most 10.0 min" in world.said


def test_a_client_that_is_late_is_asked_again_once_it_is_done_and_not_before(world):
    world.grid.gather()
    world.hang(12)
    ids = world.order(deadline_seconds=60.0)
    world.seconds = 60.0
    world.errors(ids)
    assert (world.grid.get_node_ids(), world.queries(12)) == ([10, 11], 2)
    world.seconds = 90.0
    world.come_to(12)
    assert world.grid.get_node_ids() == [10, 11, 12]
    assert "client 2 has finished its abandoned order, and takes part again" in world.said


def test_a_client_that_lost_an_over_selected_round_is_not_asked_before_it_is_done(world):
    world.grid.gather()
    world.hang(12)
    assert list(world.errors(world.order(wait_for=2))) == [12]
    assert world.grid.get_node_ids() == [10, 11]
    world.come_to(12)
    assert world.grid.get_node_ids() == [10, 11, 12]


def test_a_client_that_never_comes_to_is_asked_again_after_a_time_and_then_after_twice_as_long(world):
    world.grid.gather()
    world.hang(12)
    for given_up, asked_again in ((600.0, 1200.0), (1800.0, 3000.0)):
        ids = world.order()
        world.seconds = given_up
        assert list(world.errors(ids)) == [12]
        world.seconds = asked_again - 1
        assert world.grid.get_node_ids() == [10, 11]
        world.seconds = asked_again
        assert world.grid.get_node_ids() == [10, 11, 12]


def test_a_client_that_was_started_again_is_asked_once_it_has_said_what_it_holds(world):
    world.grid.gather()
    world.hang(12)
    ids = world.order()
    world.seconds = 600.0
    world.errors(ids)
    world.below._nodes.remove(12)
    assert world.grid.get_node_ids() == [10, 11]
    world.below._nodes.append(12)
    assert (world.grid.get_node_ids(), world.queries(12)) == ([10, 11], 3)
    world.come_to(12)
    assert world.grid.get_node_ids() == [10, 11, 12]


def test_where_nobody_else_is_left_those_that_owe_an_answer_are_asked_all_the_same(world):
    world.grid.gather()
    world.hang(10)
    ids = world.order()
    world.seconds = 600.0
    assert len(world.errors(ids)) == 3
    assert world.grid.get_node_ids() == [10, 11, 12]
    assert any("0 available and 3 at work on abandoned orders" in text for text in world.said)


def test_a_client_that_is_done_with_the_first_of_two_orders_still_owes_the_second(world):
    world.grid.gather()
    world.hang(10)
    for over in (600.0, 1200.0):
        ids = world.order(nodes=[10])
        world.seconds = over
        assert list(world.errors(ids)) == [10]
    world.come_to(10, query=1)
    assert world.grid.get_node_ids() == [11, 12]
    world.come_to(10, query=2)
    assert world.grid.get_node_ids() == [10, 11, 12]


def test_a_client_whose_order_expired_on_the_way_is_late_and_left_out(world):
    world.grid.gather()
    world.hang(10)
    honest, world.train = world.train, lambda message: error_reply(message, MESSAGE_EXPIRED, "expired")
    assert world.errors(world.order(nodes=[10])) == {10: (REPLY_LATE, "expired")}
    world.train = honest
    assert world.grid.get_node_ids() == [11, 12]


def test_a_query_that_expired_is_sent_again(world):
    world.query = silent_from(12, world.query)
    world.grid.gather()
    world.come_to(12, lambda query: error_reply(query, MESSAGE_EXPIRED, "expired"))
    world.grid.get_node_ids()
    world.grid.get_node_ids()
    assert world.queries(12) == 2


def test_errors_do_not_count_as_done(world):
    honest = world.train
    world.train = lambda m: error_reply(m, 2, "broken") if m.metadata.dst_node_id == 10 else silent_from(12, honest)(m)
    assert world.errors(world.order(wait_for=2)) == {10: (2, "broken")}


def test_a_client_that_was_killed_is_gone(world):
    world.train = lambda message: error_reply(message, CLIENT_CRASHED, "its process ended")
    assert world.errors(world.order(nodes=[10])) == {10: (CLIENT_UNAVAILABLE, "its process ended")}


def test_a_message_that_is_not_taken_is_answered_with_an_error(world):
    world.below.push_messages = lambda messages: [None for _ in messages]
    assert world.errors(world.order(nodes=[10]))[10][0] == CLIENT_UNAVAILABLE


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (None, "it reports no workload"),
        ({"method": "adapter"}, "workload: expected a config record of passes and num-examples"),
        ({"passes": 3}, "workload: passes is not text"),
        ({"num-examples": -1}, "workload: num_examples is -1"),
        ({"passes": '[["forward",-1,4,[16],[0,2]]]'}, "workload: count is -1"),
        ({"passes": '[["magic",1,4,[16],[0,2]]]'}, "workload: kind is 'magic'"),
    ],
)
def test_a_reply_whose_workload_makes_no_sense_is_an_error(world, workload, reason):
    honest = world.train

    def train(message):
        reply = honest(message)
        del reply.content["workload"]
        if workload is not None:
            packed = dict(workload_record(WORKLOAD))
            reply.content["workload"] = ConfigRecord(packed | workload)
        return reply

    world.train = train
    assert world.errors(world.order(nodes=[10]))[10][1].startswith(reason)


def test_a_client_that_answered_with_an_error_is_done_and_is_asked_again_at_once(world):
    world.grid.gather()
    world.train = lambda message: error_reply(message, CLIENT_RAISED, "ValueError: no")
    world.query = lambda message: None  # a second query would be needed only by a client that still owes an answer
    assert world.errors(world.order(nodes=[10])) == {10: (CLIENT_RAISED, "ValueError: no")}
    assert world.grid.get_node_ids() == [10, 11, 12]
    assert (world.queries(10), "client 0: ValueError: no" in world.said) == (1, True)
    assert not any("left out" in text for text in world.said)


def test_a_client_that_was_not_sent_its_order_owes_no_answer(world):
    world.grid.gather()
    world.below.push_messages = lambda messages: [None for _ in messages]
    assert list(world.errors(world.order(nodes=[10]))) == [10]
    assert world.grid.get_node_ids() == [10, 11, 12]
    assert not any("left out" in text for text in world.said)


def test_orders_of_which_the_engine_takes_none_are_all_answered_with_errors(world):
    world.grid.gather()
    world.below.push_messages = lambda messages: []
    reason = (CLIENT_UNAVAILABLE, "gone: the SuperLink no longer knows this node")
    assert world.errors(world.order(nodes=[10, 12])) == {10: reason, 12: reason}
