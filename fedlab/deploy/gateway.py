"""A gateway: a reverse proxy in front of the SuperLink that only forwards the calls of nodes.

A SuperLink serves three kinds of callers at one port: nodes (`/v1/fleet/`), apps (`/v1/runtime/`), and users who submit
code and register nodes (`/v1/control/`) without a login. Nodes get the address of the gateway instead.
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

# All calls of a SuperNode of flwr 1.41.
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
# A caller is unknown until the SuperLink has checked its signature, so no caller may block the place of another.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)
# The longest pause within a body: a TLS record of at most 16 KiB takes this long at half a kilobyte a second.
PAUSE_SECONDS = 30.0
# This much of a body is received before the SuperLink is called: a caller that stalls earlier costs it nothing.
_HEAD_BYTES = 65536
# A node retries after a 503, but treats a 500 as the end of its connection and asks for no more work.
_UNAVAILABLE = 503


def gateway(client: httpx.AsyncClient, *, pause_seconds: float = PAUSE_SECONDS) -> Starlette:
    """Return the gateway as an ASGI app; the client's base address is that of the SuperLink.

    A request is aborted if its body pauses for longer than `pause_seconds`. `/health` returns the SuperLink's health.
    """

    async def forward(request: Request) -> Response:
        headers = _end_to_end(request.headers.items())
        # Built from the list above: the path that the caller sent is not forwarded.
        target = f"/v1/fleet/{request.path_params['call']}"
        chunks = _with_pause_limit(request.stream(), pause_seconds)
        try:
            body = _with_head(await _read_head(chunks), chunks)
            asked = client.build_request("POST", target, headers=headers, content=body)
            answer = await client.send(asked, stream=True)
        except httpx.TransportError:
            return Response("the SuperLink cannot be reached", status_code=_UNAVAILABLE)
        except (ClientDisconnect, TimeoutError):  # the caller is gone, or is a delayed node that retries
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
    """Return an HTTP client for the SuperLink at HOST:PORT, without TLS if no authority is given."""
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
    """Serve the gateway until the process ends; without a certificate both sides use plaintext.

    Raises:
        UserError: the certificate or its key is not valid.
        RunFailedError: the gateway cannot listen at the port.
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


async def _with_pause_limit(chunks: AsyncIterator[bytes], pause_seconds: float) -> AsyncIterator[bytes]:
    """Yield chunks; raises TimeoutError if the next one takes longer than `pause_seconds`."""
    while True:
        try:
            async with asyncio.timeout(pause_seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


async def _read_head(chunks: AsyncIterator[bytes]) -> bytes:
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
    """Raise the limit of open files: callers that stall would soon take the usual 1024 connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _trust(ca: Path | None) -> bool | ssl.SSLContext:
    try:
        return False if ca is None else ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise UserError(f"{ca}: not a certificate: {_words(error)}") from error


def _words(error: OSError) -> str:
    # Python appends the address, or a line of its own source, in brackets.
    return (error.strerror or str(error)).partition(" (")[0]


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
