import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest
from flwr.app import Message, MessageType, RecordDict

from fedlab.deploy.node import supernode
from fedlab.deploy.node.heartbeat import is_alive, write_heartbeat
from fedlab.deploy.node.supernode import MeteredConnection, TransferMeter


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
    meter = TransferMeter(clock)
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
    return MeteredConnection(parts, journals.append, now_seconds=clock)


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


def test_a_node_lives_as_long_as_its_order_counts(clock, server_identity):
    heartbeats = []
    order = Message(RecordDict(), 1, MessageType.TRAIN, ttl=660.0)
    parts = (7, lambda: (order, None), *[clock.passing(0.0)] * 6)
    node = MeteredConnection(parts, lambda journal: None, heartbeat=heartbeats.append, now_seconds=clock)
    node.receive()
    node.confirm(1, "m1")
    assert heartbeats == [None, 660.0]


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Return a function that runs a SuperNode whose work in Flower's place is a function; it returns the exit code."""
    monkeypatch.setattr(supernode, "_keep_journal", lambda path: None)
    monkeypatch.setattr(supernode, "_explain_retries", lambda server, reason: None)
    words = ["--journal", str(tmp_path / "journal.json"), "--superlink", "lab:8000", "--", "--insecure"]
    monkeypatch.setattr(sys, "argv", ["supernode", *words])

    def start(work):
        monkeypatch.setattr(supernode, "flower_supernode", work)
        return supernode.run()

    return start


def test_a_node_that_was_killed_at_work_has_no_heartbeat_until_it_is_connected_again(tmp_path, started):
    alive = []
    write_heartbeat(tmp_path, 60.0)
    started(lambda: alive.append(is_alive(tmp_path)))
    assert alive == [False]
    assert sys.argv[1:] == ["--superlink", "lab:8000", "--insecure"]


def ending(code, status):
    """Return what ends as Flower does after an answer of the server's."""

    def work():
        try:
            httpx.Response(status, request=httpx.Request("POST", "https://lab:8000")).raise_for_status()
        except httpx.HTTPStatusError:
            sys.exit(code)

    return work


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (ending(1, 500), 1, "fedlab: lab:8000: it answers 500"),
        (ending(0, 401), 1, "fedlab: lab:8000: it does not accept this node"),  # Flower calls that graceful
        (ending(0, 503), 0, ""),  # stopped while it tried again
        (lambda: sys.exit(0), 0, ""),
        (lambda: 1 / 0, 1, "fedlab: the node failed: ZeroDivisionError"),
        (lambda: None, 1, "fedlab: lab:8000: the connection ended"),
    ],
)
def test_the_last_line_says_what_ended_a_node(started, capsys, work, code, said):
    assert started(work) == code
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(said) for line in lines[-1:]] == [True] * bool(said)


def test_a_process_ends_whatever_threads_are_left(tmp_path):
    program = """
import sys, threading
from fedlab.deploy.node import supernode
def work():
    threading.Thread(target=threading.Event().wait).start()
    raise OSError("no certificate")
supernode.flower_supernode = work
supernode.main()
"""
    words = ["--journal", str(tmp_path / "journal.json"), "--superlink", "lab:8000", "--", "--insecure"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "fedlab: the node failed: OSError: no certificate"


def test_why_a_server_is_tried_again_is_said_once(monkeypatch, capsys):
    namespace = vars(supernode.fleet_http_connection)
    monkeypatch.setitem(namespace, "make_simple_http_retry_invoker", namespace["make_simple_http_retry_invoker"])
    supernode._explain_retries("lab:8000", lambda error: f"{error}")
    invoker = namespace["make_simple_http_retry_invoker"]()
    refused = SimpleNamespace(exception=OSError("refused"), tries=1, elapsed_time=0.0)
    for _ in range(2):
        invoker.on_backoff(refused)
    line = "fedlab: lab:8000: refused; retrying until it answers\n"
    assert capsys.readouterr().err == line
    invoker.on_success(refused)
    invoker.on_backoff(refused)
    assert capsys.readouterr().err == line
