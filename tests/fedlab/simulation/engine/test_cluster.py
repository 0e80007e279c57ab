"""Actors are spread over a cluster's cores, and an address that no cluster answers at is said so within seconds."""

import socket

import pytest

from fedlab.errors import UserError
from fedlab.simulation.engine.cluster import check_reachable, spread


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [
        ({"a": 1, "b": 1, "c": 1}, 3, "abc"),
        ({"a": 3, "b": 1}, 4, "abaa"),
        ({"a": 4, "b": 4}, 2, "ab"),
        ({"a": 1, "b": 2}, 5, "abbab"),
    ],
)
def test_actors_are_spread_over_the_nodes_as_these_have_cores(nodes, workers, expected):
    assert "".join(spread(nodes, workers)) == expected


def test_a_cluster_without_cores_is_refused():
    with pytest.raises(UserError, match="the cluster has no cores"):
        spread({"a": 0}, 2)


@pytest.fixture
def listening():
    """Return a socket that takes connections, and the address it listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_that_takes_connections_is_left_to_ray(listening):
    check_reachable(listening)
    check_reachable(f"ray://{listening}")


@pytest.mark.parametrize("address", ["auto", "local", "somewhere", "host:name"])
def test_an_address_without_host_and_port_is_left_to_ray(address):
    check_reachable(address)


def test_an_address_that_refuses_connections_is_named(listening, unused_port):
    with pytest.raises(UserError) as caught:
        check_reachable(f"127.0.0.1:{unused_port}")
    assert str(caught.value) == (
        f"engine.ray_address = '127.0.0.1:{unused_port}': no Ray cluster can be joined there: Connection refused;"
        " --ray-address local starts one here"
    )


def test_an_address_that_is_silent_is_given_up_after_the_timeout(monkeypatch):
    asked = []

    def silent(address, timeout):
        asked.append((address, timeout))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    with pytest.raises(
        UserError, match=r"'10\.0\.0\.1:6379': no Ray cluster can be joined there: nothing answers within 5 s"
    ):
        check_reachable("10.0.0.1:6379")
    assert asked == [(("10.0.0.1", 6379), 5.0)]


def test_a_host_that_does_not_exist_is_named():
    with pytest.raises(UserError, match=r"engine\.ray_address = 'no\.such\.host\.invalid:6379': no Ray cluster"):
        check_reachable("no.such.host.invalid:6379")


@pytest.fixture
def unused_port():
    """Return a port that nothing listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
