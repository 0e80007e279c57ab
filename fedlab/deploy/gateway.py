"""A door between nodes and SuperLink that lets through what nodes need, and nothing else.

A SuperLink answers three kinds of callers at one port: nodes (`/v1/fleet/`), apps (`/v1/runtime/`), and whoever submits
code and registers nodes (`/v1/control/`), who needs no login. Nodes are given this door's address instead.
"""

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fedlab.errors import RunFailedError, UserError

# All that a SuperNode of flwr 1.41 asks for.
CALLS = (
    "activate-node",
    "confirm-message-received",
    "deactivate-node",
    "get-fab",
    "get-run",
    "pull-messages",
    "pull-object",
    "push-messages",
    "push-object",
    "register-node",
    "send-node-heartbeat",
    "unregister-node",
)
_HOP_BY_HOP = frozenset(
    ("connection", "host", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# Callers are not known before the SuperLink has seen their signature: none may keep a place that another needs.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)
# Of a body, the longest time without a byte: one TLS record, of at most 16 KiB, on a link of half a kilobyte a second.
PAUSE_SECONDS = 30.0
# So much of a body, or all of it, is here before the SuperLink hears of it: who stalls sooner costs it nothing.
_HEAD_BYTES = 65536
# A node tries again after a 503, but takes a 500 for the end of its connection and asks for no more work.
_UNAVAILABLE = 503


def gateway(client: httpx.AsyncClient, *, pause_seconds: float = PAUSE_SECONDS) -> Starlette:
    """Return the door as an ASGI app; the client's base address is that of the SuperLink.

    A caller whose body stands still for longer than `pause_seconds` is given up. `/health` asks for the
    SuperLink's own.
    """

    async def forward(request: Request) -> Response:
        headers = _end_to_end(request.headers.items())
        # Made anew from the list above: nothing of what the caller wrote as path goes further.
        target = f"/v1/fleet/{request.path_params['call']}"
        chunks = _paced(request.stream(), pause_seconds)
        try:
            body = _with_head(await _head(chunks), chunks)
            asked = client.build_request("POST", target, headers=headers, content=body)
            answer = await client.send(asked, stream=True)
        except httpx.TransportError:
            return Response("the SuperLink cannot be reached", status_code=_UNAVAILABLE)
        except (ClientDisconnect, TimeoutError):  # nobody hears this, or a node that was held up and tries again
            return Response("the rest of the request did not come", _UNAVAILABLE, {"connection": "close"})
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            headers=dict(_end_to_end(answer.headers.items())),
            background=BackgroundTask(answer.aclose),
        )

    async def refuse_unknown(request: Request) -> Response:
        return await forward(request) if request.path_params["call"] in CALLS else Response(status_code=404)

    async def health(_: Request) -> Response:
        try:
            return Response(status_code=(await client.get("/health")).status_code)
        except httpx.TransportError:
            return Response("the SuperLink cannot be reached", status_code=_UNAVAILABLE)

    return Starlette(
        routes=[Route("/v1/fleet/{call}", refuse_unknown, methods=["POST"]), Route("/health", health, methods=["GET"])]
    )


def superlink_client(address: str, ca: Path | None) -> httpx.AsyncClient:
    """Return what asks the SuperLink at HOST:PORT, without TLS if there is no authority to know it by."""
    return httpx.AsyncClient(
        base_url=f"{'http' if ca is None else 'https'}://{address}",
        verify=_trust(ca),
        timeout=_TIMEOUT,
        limits=_LIMITS,
        trust_env=False,
    )


def run_gateway(
    superlink: str,
    *,
    host: str,
    port: int,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve the door until the process is ended; without a certificate in plaintext, and so to the SuperLink.

    Raises:
        UserError: what should be a certificate or its key is none.
        RunFailedError: the port cannot be listened at.
    """
    client = superlink_client(superlink, ca)
    config = uvicorn.Config(gateway(client), log_level="warning", ssl_certfile=certificate, ssl_keyfile=key)
    try:
        config.load()
    except OSError as error:
        raise UserError(f"{certificate} and {key}: not a certificate and its key: {_words(error)}") from error
    _open_many_files()
    with _listen(host, port) as listening, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


async def _paced(chunks: AsyncIterator[bytes], pause_seconds: float) -> AsyncIterator[bytes]:
    """Pass on chunks; raises TimeoutError when none has come for too long."""
    while True:
        try:
            async with asyncio.timeout(pause_seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


async def _head(chunks: AsyncIterator[bytes]) -> bytes:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD_BYTES:
            break
    return head


async def _with_head(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise RunFailedError(f"{host}:{port}: the gateway cannot listen there: {_words(error)}") from error


def _open_many_files() -> None:
    """Let this process hold as many connections as it may: the usual 1024 are soon taken by callers that stall."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _trust(ca: Path | None) -> bool | ssl.SSLContext:
    try:
        return False if ca is None else ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise UserError(f"{ca}: not a certificate: {_words(error)}") from error


def _words(error: OSError) -> str:
    # Python adds in brackets what address it was, or a line of its own source.
    return (error.strerror or str(error)).partition(" (")[0]


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
