"""Why a server cannot be talked to, asked of real sockets where there are errors that only those make."""

import json
import socket
import ssl
import threading

import httpx
import pytest

from fedlab.deploy.connection_errors import is_refusal, reason_of
from fedlab.deploy.security.keys import make_keys


def failing(url, *, verify=True):
    with httpx.Client(verify=verify, timeout=20, trust_env=False) as client:
        try:
            client.get(url).raise_for_status()
        except httpx.HTTPError as error:
            return error
    pytest.fail("it answered")


def answering(status, body=""):
    return httpx.HTTPStatusError(
        "", request=httpx.Request("POST", "http://lab"), response=httpx.Response(status, text=body)
    )


@pytest.fixture
def keys(tmp_path):
    """Return two folders of keys that know nothing of each other."""
    folders = tmp_path / "ours", tmp_path / "theirs"
    for folder in folders:
        make_keys(folder, hosts=["localhost"], nodes=0, days=60)
    return folders


@pytest.fixture
def server():
    """Return a function that listens on loopback and ends each connection, after TLS if it is given keys."""
    sockets = []

    def serve(folder=None):
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if folder is not None:
            context.load_cert_chain(folder / "server.pem", folder / "server.key")

        def work():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    if folder is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    else:
                        connection.recv(1)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                except OSError:
                    pass
                connection.close()

        threading.Thread(target=work, daemon=True).start()
        return listening.getsockname()[1]

    yield serve
    for each in sockets:
        each.close()


def trust(folder):
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def test_a_certificate_of_another_authority_is_told_from_none_given(server, keys):
    ours, theirs = keys
    url = f"https://localhost:{server(ours)}"
    wrong = failing(url, verify=trust(theirs))
    assert "not issued by the authority in theirs.pem" in reason_of(wrong, ca="theirs.pem", insecure=False)
    assert "give --ca" in reason_of(failing(url), ca=None, insecure=False)


def test_a_certificate_for_other_names_is_told(server, keys):
    error = failing(f"https://127.0.0.1:{server(keys[0])}", verify=trust(keys[0]))
    assert "for other names" in reason_of(error, ca="ca.pem", insecure=False)


def test_one_side_without_tls_is_told_whichever_it_is(server, keys):
    to_plain = failing(f"https://localhost:{server()}", verify=trust(keys[0]))
    assert "does not speak TLS" in reason_of(to_plain, ca="ca.pem", insecure=False)
    to_tls = failing(f"http://localhost:{server(keys[0])}")
    assert "instead of --insecure" in reason_of(to_tls, ca=None, insecure=True)


def test_nobody_at_the_port_and_no_such_host_are_told_apart():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    refused = reason_of(failing(f"http://127.0.0.1:{port}"), ca=None, insecure=True)
    assert refused == "it cannot be reached: Connection refused"
    assert "host name is not known" in reason_of(failing("http://nosuch.invalid"), ca=None, insecure=True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (answering(412, json.dumps({"code": 2004, "detail": "no"})), "it does not know this node's key"),
        (answering(412, json.dumps({"code": 1, "detail": "later"})), "it answers 412: later"),
        (answering(401), "it does not accept this node"),
        (answering(503), "its SuperLink is down"),
        (httpx.ReadTimeout("slow"), "it does not answer"),
    ],
)
def test_an_answer_that_is_a_refusal_is_put_in_words(error, reason):
    assert reason_of(error, ca=None, insecure=False).startswith(reason)


def test_only_a_server_that_does_not_accept_the_node_refuses_it():
    assert is_refusal(answering(401))
    assert not is_refusal(answering(503))
    assert not is_refusal(None)


def test_what_has_nothing_to_do_with_the_server_has_no_reason_there():
    assert reason_of(ValueError("x"), ca=None, insecure=False) is None
    assert reason_of(None, ca=None, insecure=False) is None
