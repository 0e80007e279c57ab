import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.deploy.node.throttle import Rates, TokenBucket, start_relay


def test_a_full_bucket_lets_a_chunk_through_at_once_and_the_rest_at_its_rate():
    bucket = TokenBucket(10_000.0, 1.0)
    assert bucket.take(8192, came_seconds=1.0) == 1.0
    assert bucket.take(5000, came_seconds=1.0) == 1.5
    assert bucket.take(5000, came_seconds=1.0) == 2.0


def test_a_pause_fills_the_bucket_up_to_a_chunk():
    bucket = TokenBucket(10_000.0, 0.0)
    bucket.take(8192, came_seconds=0.0)
    assert bucket.take(5000, came_seconds=0.5) == 0.5
    assert bucket.take(18_192, came_seconds=100.0) == pytest.approx(101.0)


def test_bytes_that_were_waiting_pass_as_if_nobody_had_been_late():
    bucket = TokenBucket(10_000.0, 0.0)
    bucket.take(8192, came_seconds=0.0)
    assert bucket.take(5000, came_seconds=0.1) == 0.5  # whenever that is asked


@given(
    rate=st.floats(1e3, 1e9),
    sizes=st.lists(st.integers(1, 8192), min_size=1, max_size=50),
    pauses=st.lists(st.floats(0, 1), min_size=50, max_size=50),
)
def test_never_more_than_a_chunk_and_the_rate_pass(rate, sizes, pauses):
    bucket, came, passed = TokenBucket(rate, 0.0), 0.0, 0.0
    for size, pause in zip(sizes, pauses, strict=False):
        came += pause
        passed = bucket.take(size, came_seconds=came)
        assert passed >= came
    assert sum(sizes) <= (8192.0 + rate * passed) * (1 + 1e-6)


def test_a_relay_passes_on_what_is_sent_both_ways():
    server = socket.create_server(("127.0.0.1", 0))

    def echo():
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data.upper())

    threading.Thread(target=echo, daemon=True).start()
    port = start_relay("127.0.0.1", server.getsockname()[1], Rates(up_bytes_per_second=1e8, down_bytes_per_second=1e8))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"a" * 50_000)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received == b"A" * 50_000
    server.close()


def test_a_relay_to_nobody_closes_the_connection():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    relay = start_relay("127.0.0.1", port, Rates())
    with socket.create_connection(("127.0.0.1", relay), timeout=20) as connection:
        assert connection.recv(1) == b""
