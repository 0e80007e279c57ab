import sys

import pytest
from flwr.app import Message, MessageType, RecordDict

from fedlab.deploy import supernode
from fedlab.deploy.pulse import beat, beats
from fedlab.deploy.supernode import Meter, Metered


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    def passing(self, seconds, result=None):
        def call(*_):
            self.seconds += seconds
            return result

        return call


def test_transfers_side_by_side_count_once():
    clock = Clock()
    meter = Meter(clock)
    with meter.moving():
        clock.seconds = 1.0
        with meter.moving():
            clock.seconds = 3.0
    clock.seconds = 10.0  # nothing is under way
    with meter.moving():
        clock.seconds = 10.5
    assert meter.seconds == 3.5


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def journals():
    return []


@pytest.fixture
def node(clock, journals, server_identity):
    def call(seconds, result=None):
        return clock.passing(seconds, result)

    parts = (7, call(0.5), call(0.1, (set(), "s")), call(9.0), call(9.0), call(2.0, b"12345"), call(4.0), call(0.25))
    return Metered(parts, journals.append, now_seconds=clock)


def reply(kind):
    return Message(RecordDict(), 1, kind)


def test_an_order_takes_the_requests_for_it_and_not_what_lies_between(node, journals):
    node.receive()
    node.parts()[3]()  # the app, fetched once
    node.pull_object(1, "a")
    node.pull_object(1, "b")
    node.confirm(1, "m1")
    assert journals[-1].download_seconds("m1") == 0.5 + 2.0 + 2.0 + 0.25
    assert journals[-1].download.num_bytes == 10
    assert journals[-1].upload is None


def test_a_poll_that_found_nothing_is_forgotten(node, journals):
    node.receive()
    node.receive()
    node.confirm(1, "m1")
    assert journals[-1].download_seconds("m1") == 0.5 + 0.25


def test_a_reply_is_noted_once_all_of_it_is_gone(node, journals):
    node.send(reply(MessageType.TRAIN), None, 1.0)
    node.push_object(1, "s", "a", b"123")
    node.push_object(1, "s", "b", b"4567")
    assert journals == []
    node.receive()
    assert (journals[-1].upload.seconds, journals[-1].upload.num_bytes) == (pytest.approx(8.1), 7)
    node.receive()
    assert len(journals) == 1


def test_the_answer_to_a_query_tells_no_speed(node, journals):
    node.send(reply(MessageType.QUERY), None, 1.0)
    node.push_object(1, "s", "a", b"123")
    node.receive()
    assert journals == []


def test_a_node_that_was_killed_at_work_has_no_pulse_until_it_is_connected_again(tmp_path, monkeypatch):
    alive = []
    monkeypatch.setattr(supernode, "_keep_journal", lambda path: None)
    monkeypatch.setattr(supernode, "flower_supernode", lambda: alive.append(beats(tmp_path)))
    words = ["--journal", str(tmp_path / "journal.json"), "--superlink", "localhost:8000", "--", "--insecure"]
    monkeypatch.setattr(sys, "argv", ["supernode", *words])
    beat(tmp_path, "working")
    supernode.main()
    assert alive == [False]
    assert sys.argv[1:] == ["--superlink", "localhost:8000", "--insecure"]
