import asyncio
import contextlib
import logging
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata
from flwr.proto.node_pb2 import Node
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from fedlab.deploy.bodies import BodyLimits
from fedlab.deploy.gateway import CALLS, gateway, limits_for, run_gateway, superlink_client
from fedlab.errors import RunFailedError, UserError


class SuperLink:
    """Answers everything, and keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.status = 200
        routes = [Route("/{rest:path}", self.answer, methods=["GET", "POST"])]
        self.transport = httpx.ASGITransport(Starlette(routes=routes))

    async def answer(self, request):
        self.asked.append((request.url.path, await request.body(), request.headers.get("flwr-node")))
        return Response(b"answer", status_code=self.status, headers={"content-type": "application/x-protobuf"})


@pytest.fixture
def superlink():
    return SuperLink()


class Door:
    """The gateway before a SuperLink, as a node sees it."""

    def __init__(self, transport):
        self._app = gateway(httpx.AsyncClient(base_url="http://superlink", transport=transport))

    def ask(self, method, path, **words):
        async def asked():
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(base_url="http://gateway", transport=transport) as client:
                return await client.request(method, path, **words)

        return asyncio.run(asked())

    def post(self, path, **words):
        return self.ask("POST", path, **words)

    def get(self, path):
        return self.ask("GET", path)


@pytest.fixture
def door(superlink):
    return Door(superlink.transport)


@pytest.mark.parametrize("call", [call for call in CALLS if call != "push-messages"])
def test_what_nodes_ask_for_is_passed_on_with_body_and_headers(door, superlink, call):
    answer = door.post(f"/v1/fleet/{call}", content=b"question", headers={"flwr-node": "signed"})
    assert superlink.asked == [(f"/v1/fleet/{call}", b"question", "signed")]
    assert (answer.status_code, answer.content) == (200, b"answer")
    assert answer.headers["content-type"] == "application/x-protobuf"


def push(caller, *senders):
    """Return the body of a push of messages by a node."""
    messages = [Message(metadata=Metadata(src_node_id=sender)) for sender in senders]
    return PushMessagesRequest(node=Node(node_id=caller), messages_list=messages).SerializeToString()


def test_a_node_pushes_its_own_messages(door, superlink):
    body = push(7, 7, 7)
    assert door.post("/v1/fleet/push-messages", content=body).status_code == 200
    assert superlink.asked == [("/v1/fleet/push-messages", body, None)]


@pytest.mark.parametrize("body", [push(7, 8), push(7, 7, 8), push(7, 0), b"\xff garbage"])
def test_a_node_pushes_no_messages_in_the_name_of_another(door, superlink, body):
    assert door.post("/v1/fleet/push-messages", content=body).status_code == 403
    assert superlink.asked == []


@pytest.mark.parametrize("call", [call for call in CALLS if call != "push-object"])
def test_only_parts_of_arrays_are_large(door, superlink, call):
    assert door.post(f"/v1/fleet/{call}", content=b"x" * (2**20 + 1)).status_code == 413
    assert superlink.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/v1/fleet/anything-else",
        "/v1/fleet/..%2fcontrol%2fstart-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/get-run/../../control/start-run",
        "//v1/control/start-run",
        "/docs",
        "/",
    ],
)
def test_nothing_else_reaches_the_superlink(door, superlink, path):
    assert door.post(path, content=b"question").status_code in (404, 405)
    assert superlink.asked == []


def test_only_posts_are_passed_on(door, superlink):
    assert door.get("/v1/fleet/get-run").status_code == 405
    assert superlink.asked == []


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_refusal_comes_back_as_it_is(door, superlink, status):
    superlink.status = status
    assert door.post("/v1/fleet/get-run").status_code == status


def test_a_superlink_that_is_down_is_told_as_503_so_that_nodes_try_again():
    def refuse(request):
        raise httpx.ConnectError("refused")

    door = Door(httpx.MockTransport(refuse))
    assert door.post("/v1/fleet/get-run").status_code == 503
    assert door.get("/health").status_code == 503


def test_the_gateway_is_as_healthy_as_the_superlink(door, superlink):
    assert door.get("/health").status_code == 200
    superlink.status = 500
    assert door.get("/health").status_code == 500


@contextlib.contextmanager
def serving(app):
    """Serve an app on loopback; yield its port."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def opened():
    """Return a function that opens the gateway before a SuperLink, both on loopback, and returns its port."""
    with contextlib.ExitStack() as stack:

        async def answer(request):
            with contextlib.suppress(ClientDisconnect):  # its log is not the one that is looked at
                return Response(await request.body())
            return Response()

        def start(**limits):
            app = Starlette(routes=[Route("/v1/fleet/{call}", answer, methods=["POST"])])
            address = f"127.0.0.1:{stack.enter_context(serving(app))}"
            door = gateway(superlink_client(address, None), limits=BodyLimits(**limits))
            return stack.enter_context(serving(door))

        yield start


def begin_upload(port, body):
    """Send the head of a request for a million bytes, and of its body only the beginning."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000000\r\n\r\n"
    connection.sendall(head + body)
    return connection


@pytest.mark.parametrize("begun", [3, 100_000])  # before the SuperLink hears of it, and after
def test_callers_that_stall_keep_nobody_out(opened, begun):
    port = opened(pause_seconds=60.0)
    stalled = [begin_upload(port, b"x" * begun) for _ in range(110)]
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/fleet/get-run", content=b"honest", timeout=20)
    assert (answer.status_code, answer.content) == (200, b"honest")
    for each in stalled:
        each.close()


@pytest.mark.parametrize("begun", [3, 100_000])
def test_a_caller_that_stalls_is_given_up_and_told_to_try_again(opened, begun):
    with begin_upload(opened(pause_seconds=0.2), b"x" * begun) as connection:
        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # to the end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 503 ")


def test_a_caller_that_goes_on_in_time_is_let_through(opened):
    with begin_upload(opened(pause_seconds=5.0), b"") as connection:
        for _ in range(4):
            connection.sendall(b"x" * 250_000)
            time.sleep(0.05)
        assert connection.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("begun", [3, 100_000])
def test_a_caller_that_hangs_up_leaves_no_traceback(opened, caplog, begun):
    port = opened(pause_seconds=60.0)
    log = logging.getLogger("uvicorn.error")  # it hands nothing on to where caplog listens
    log.addHandler(caplog.handler)
    begin_upload(port, b"x" * begun).close()
    time.sleep(0.5)
    assert httpx.post(f"http://127.0.0.1:{port}/v1/fleet/get-run", timeout=20).status_code == 200
    log.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def read_all(connection):
    """Return what comes until the connection ends."""
    with contextlib.suppress(ConnectionError):  # the gateway hangs up without reading the rest
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def test_a_body_that_is_announced_as_too_large_is_refused_at_once(opened):
    with begin_upload(opened(size_bytes=999_999), b"") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_the_largest_size_is_forwarded(opened):
    answer = httpx.post(f"http://127.0.0.1:{opened(size_bytes=300_000)}/v1/fleet/push-object", content=b"x" * 300_000)
    assert (answer.status_code, len(answer.content)) == (200, 300_000)


@pytest.mark.parametrize("size_bytes", [10, 200_000])  # before the SuperLink hears of it, and after
def test_chunks_beyond_the_limit_are_refused(opened, size_bytes):
    with socket.create_connection(("127.0.0.1", opened(size_bytes=size_bytes)), timeout=20) as connection:
        connection.sendall(b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for length in (size_bytes, 1):  # exactly what is read: where more was left, the answer would be cut off
            connection.sendall(b"%x\r\n" % length + b"x" * length + b"\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("begun", [3, 100_000])
def test_a_trickled_body_is_given_up_after_the_time_for_a_body(opened, begun):
    with begin_upload(opened(seconds=0.5), b"x" * begun) as connection:
        connection.settimeout(0.05)
        answer, deadline = b"", time.monotonic() + 10
        while not answer and time.monotonic() < deadline:
            connection.send(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(("most_files", "overall", "by_address"), [(1_000_000, 192, 64), (256, 96, 48), (20, 1, 1)])
def test_connections_leave_files_for_the_way_to_the_superlink(most_files, overall, by_address):
    limits = limits_for(most_files)
    assert (limits.overall, limits.by_address) == (overall, by_address)


PLAIN = {"ca": None, "certificate": None, "key": None}


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            RunFailedError, match=rf"127\.0\.0\.1:{port}: .* cannot listen there: Address already in use"
        ):
            run_gateway("superlink:8000", host="127.0.0.1", port=port, **PLAIN)


def test_what_is_no_certificate_is_named(tmp_path):
    garbage = tmp_path / "ca.pem"
    garbage.write_text("garbage")
    with pytest.raises(UserError, match=r"ca\.pem: not a certificate"):
        run_gateway("superlink:8000", host="127.0.0.1", port=1, **PLAIN | {"ca": garbage})
    with pytest.raises(UserError, match=r"ca\.pem: not a certificate and its key"):
        run_gateway("superlink:8000", host="127.0.0.1", port=1, **PLAIN | {"certificate": garbage, "key": garbage})
