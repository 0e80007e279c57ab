import asyncio
import contextlib
import socket
import threading
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from fedlab.deploy.connections import ConnectionLimits, Connections, CountedListener, UploadSlots, network_of
from fedlab.deploy.gateway import gateway_server


@pytest.fixture
def opened():
    """Return a function that serves an app behind limits on loopback, and returns its port."""
    with contextlib.ExitStack() as stack:

        async def answer(request):
            return Response(await request.body())

        def start(**limits):
            connections = Connections(ConnectionLimits(**limits))
            app = Starlette(routes=[Route("/", answer, methods=["POST"])])
            server = gateway_server(app, connections)
            listening = stack.enter_context(CountedListener(socket.create_server(("127.0.0.1", 0)), connections))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "force_exit", True)
            stack.callback(setattr, server, "should_exit", True)
            return listening.getsockname()[1]

        yield start


@pytest.fixture
def call():
    """Return a function that connects from an address of this machine; all its connections end with the test."""
    with contextlib.ExitStack() as stack:

        def connect(port, said=b"", *, host="127.0.0.1"):
            made = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(host, 0))
            stack.enter_context(made)
            made.sendall(said)
            return made

        yield connect


STALLED_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
STALLED_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"


def is_open(connection):
    connection.settimeout(0.05)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def closed_within(connection, seconds):
    deadline = time.monotonic() + seconds
    while is_open(connection):
        if time.monotonic() > deadline:
            return False
    return True


def ask(port, host="127.0.0.1"):
    transport = httpx.HTTPTransport(local_address=host)
    with httpx.Client(transport=transport, timeout=20) as client:
        return client.post(f"http://127.0.0.1:{port}/", content=b"honest").content


@pytest.mark.parametrize("said", [b"", STALLED_HEAD], ids=["silent", "stalled head"])
def test_a_caller_without_a_request_is_hung_up_on(opened, call, said):
    port = opened(head_seconds=0.3)
    assert closed_within(call(port, said), 5.0)


def test_headers_that_are_trickled_take_no_longer(opened, call):
    caller, begun = call(opened(head_seconds=0.5), STALLED_HEAD), time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < begun + 10:
            caller.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() < begun + 5


def test_headers_without_end_are_refused(opened, call):
    caller = call(opened(), STALLED_HEAD + b"x: " + b"y" * 100_000)
    assert caller.recv(12) == b"HTTP/1.1 400"


def test_a_request_under_way_has_its_own_time(opened, call):
    port = opened(head_seconds=0.3, request_seconds=1.5)
    caller = call(port, STALLED_BODY)
    time.sleep(0.8)
    assert is_open(caller)
    assert closed_within(caller, 5.0)


def test_of_too_many_callers_of_an_address_the_one_that_waited_longest_goes(opened, call):
    port = opened(by_address=3)
    callers = [call(port, STALLED_HEAD) for _ in range(5)]
    assert closed_within(callers[0], 5.0)
    assert closed_within(callers[1], 5.0)
    assert all(is_open(each) for each in callers[2:])


def test_a_request_under_way_is_not_given_up_for_a_caller_that_waits(opened, call):
    port = opened(by_address=2)
    at_work = call(port, STALLED_BODY)
    time.sleep(0.3)
    for _ in range(4):
        call(port, STALLED_HEAD)
    at_work.sendall(b"x" * 9)
    assert at_work.recv(12) == b"HTTP/1.1 200"


def test_where_all_are_at_work_the_new_caller_goes(opened, call):
    port = opened(by_address=2)
    at_work = [call(port, STALLED_BODY) for _ in range(2)]
    time.sleep(0.3)
    assert closed_within(call(port, STALLED_BODY), 5.0)
    assert all(is_open(each) for each in at_work)


def test_an_address_that_takes_all_it_can_keeps_no_other_out(opened, call):
    port = opened(by_address=2)
    for _ in range(2):
        call(port, STALLED_BODY, host="127.0.0.2")
    time.sleep(0.3)
    assert ask(port, "127.0.0.3") == b"honest"


def test_of_too_many_callers_overall_one_of_the_largest_address_goes(opened, call):
    port = opened(overall=3)
    many = [call(port, STALLED_HEAD, host="127.0.0.2") for _ in range(3)]
    one = call(port, STALLED_HEAD, host="127.0.0.3")
    assert closed_within(many[0], 5.0)
    assert is_open(one)


def test_requests_are_answered_while_callers_keep_all_places(opened, call):
    port = opened(by_address=4)
    for _ in range(30):
        call(port, STALLED_HEAD)
    assert [ask(port) for _ in range(5)] == [b"honest"] * 5


def test_places_of_callers_that_left_are_free(opened):
    port = opened(by_address=2)
    assert [ask(port) for _ in range(10)] == [b"honest"] * 10


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_one_of_ipv4_or_a_network_of_ipv6(host, network):
    assert network_of(host) == network


def test_an_address_sends_few_large_bodies_at_a_time_and_the_others_wait():
    async def most_at_a_time():
        uploads, now, most = UploadSlots(2), 0, 0

        async def upload(host):
            nonlocal now, most
            async with uploads.slot(host):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.01)
                now -= 1

        await asyncio.gather(*(upload("192.0.2.7") for _ in range(6)))
        of_one, most = most, 0
        await asyncio.gather(*(upload(f"192.0.2.{number}") for number in range(6)))
        return of_one, most

    assert asyncio.run(most_at_a_time()) == (2, 6)
