"""What hostile callers, whom no key lets in, can do to the gateway: honest requests go on, and its memory stays."""

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from fedlab.deploy.security.keys import make_keys

pytestmark = pytest.mark.slow

MEGABYTE = 2**20
HEAD = b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\n"
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"


@pytest.fixture
def superlink_port(lab):
    """Serve a SuperLink that answers everything with what it was sent."""

    async def answer(request):
        with contextlib.suppress(ClientDisconnect):
            return Response(await request.body())
        return Response()

    make_keys(lab.folder / "keys", hosts=["127.0.0.1"], nodes=0, days=2)
    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])
    certificate, key = (lab.folder / "keys" / name for name in ("server.pem", "server.key"))
    config = uvicorn.Config(app, log_level="error", lifespan="off", ssl_certfile=certificate, ssl_keyfile=key)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def gateway(lab, superlink_port, free_port, wait_for):
    """Start the gateway as users do, and warm it up."""
    lab.gateway_port = free_port()
    words = ["--superlink", f"127.0.0.1:{superlink_port}", "--port", lab.gateway_port, "--keys", lab.folder / "keys"]
    lab.start("gateway", lab.bin / "python", "-P", "-m", "fedlab", "deploy", "gateway", *words)
    wait_for(lambda: lab.listens(lab.gateway_port), "the gateway listens", lab, 60)
    for _ in range(5):
        ask(lab, b"x" * MEGABYTE * 5)
    return lab


def ask(lab, content):
    """Make an honest request; return the bytes that were answered."""
    trust = ssl.create_default_context(cafile=str(lab.folder / "keys" / "ca.pem"))
    url = f"https://127.0.0.1:{lab.gateway_port}/v1/fleet/push-object"
    answer = httpx.post(url, content=content, verify=trust, timeout=20)
    assert answer.status_code == 200
    return answer.content


def resident(lab):
    lines = Path(f"/proc/{lab.processes['gateway'].pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def plain(lab, host="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", lab.gateway_port), timeout=20, source_address=(host, 0))


def secure(lab, host="127.0.0.1"):
    context = ssl.create_default_context(cafile=str(lab.folder / "keys" / "ca.pem"))
    return context.wrap_socket(plain(lab, host), server_hostname="127.0.0.1")


def silent(lab, number):
    return plain(lab)


def stalled_head(lab, number):
    made = secure(lab)
    made.sendall(HEAD)
    return made


def stalled_body(lab, number):
    made = secure(lab, f"127.0.0.{2 + number % 10}")
    made.sendall(HEAD + b"Content-Length: 5000000\r\n\r\n" + b"x" * 60_000)
    return made


def stalled_upload(lab, number):
    made = secure(lab, f"127.0.0.{2 + number % 10}")
    made.sendall(HEAD + b"Content-Length: 5000000\r\n\r\n" + b"x" * 200_000)
    return made


@pytest.mark.parametrize("begin", [silent, stalled_head, stalled_body, stalled_upload], ids=lambda each: each.__name__)
def test_300_callers_that_stall_keep_nobody_out_and_take_little_memory(gateway, begin):
    before = resident(gateway)
    with contextlib.ExitStack() as stack:
        for number in range(300):
            with contextlib.suppress(OSError):  # the gateway hangs up on those that are too many
                stack.enter_context(begin(gateway, number))
        for _ in range(5):
            assert ask(gateway, b"x" * MEGABYTE) == b"x" * MEGABYTE
        grown = resident(gateway) - before
    assert grown < 50 * MEGABYTE, grown / MEGABYTE


def test_bodies_that_are_trickled_keep_nobody_out(gateway):
    callers = [stalled_upload(gateway, number) for number in range(100)]
    for _ in range(20):
        for each in callers:
            with contextlib.suppress(OSError):
                each.sendall(b"x")
        time.sleep(0.1)
    assert ask(gateway, b"x" * MEGABYTE) == b"x" * MEGABYTE
    for each in callers:
        each.close()


def test_600_megabytes_of_chunks_are_refused_and_take_little_memory(gateway):
    before, sent = resident(gateway), 0
    while sent < 600 * MEGABYTE:
        with secure(gateway) as caller, contextlib.suppress(OSError):
            caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(600 * 16):
                caller.sendall(CHUNK)
                sent += len(CHUNK)
        assert resident(gateway) - before < 50 * MEGABYTE
    assert ask(gateway, b"x" * MEGABYTE) == b"x" * MEGABYTE
