"""A gateway: a reverse proxy in front of the SuperLink that only forwards the calls of nodes.

A SuperLink serves three kinds of callers at one port: nodes (`/v1/fleet/`), apps (`/v1/runtime/`), and users who submit
code and register nodes (`/v1/control/`) without a login. Nodes get the address of the gateway instead.
"""

import contextlib
import resource
import socket
import ssl
import sys
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http import h11_impl
from uvicorn.protocols.http.h11_impl import H11Protocol

from fedlab.deploy.bodies import (
    BodyLimits,
    BodyTooLargeError,
    announced_too_large,
    are_own_messages,
    limited,
    read_head,
    with_head,
)
from fedlab.deploy.connections import Asgi, ConnectionLimits, Connections, CountedListener, UploadSlots
from fedlab.errors import RunFailedError, UserError

# All calls of a SuperNode of flwr 1.41 and 1.42.
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
_PARTS = ("push-object",)  # calls with parts of arrays; the bodies of all others are small
_MESSAGES = "push-messages"
_HOP_BY_HOP = frozenset(
    ("connection", "host", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# A caller is unknown until the SuperLink has checked its signature, so no caller may block the place of another.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)
# This much of a body is received before the SuperLink is called: a caller that stalls earlier costs it nothing.
_HEAD_BYTES = 16384
_UPLOADS_BY_ADDRESS = 8  # bodies of more than that
_HEADERS_BYTES = 16384
_SMALL_BYTES = 2**20  # 15,000 objects of a message, of which a model of 200 arrays has 400
_BUFFER_BYTES = 16384
_SPARE_FILES = 64  # besides those of connections, each of which may need one to the SuperLink
# A node retries after a 503, but treats a 500 as the end of its connection and asks for no more work.
_UNAVAILABLE = 503
_FORBIDDEN, _TOO_LARGE = 403, 413


def gateway(client: httpx.AsyncClient, *, limits: BodyLimits = BodyLimits()) -> Starlette:  # noqa: B008 (frozen)
    """Return the gateway as an ASGI app; the client's base address is that of the SuperLink.

    A request is aborted if its body breaks a limit. Messages in the name of another node are refused. `/health` returns
    the SuperLink's health.
    """
    forward = _Forwarder(client, limits)

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


class _Forwarder:
    """Forwards a call of a node to the SuperLink, within limits."""

    def __init__(self, client: httpx.AsyncClient, limits: BodyLimits) -> None:
        self._client = client
        self._limits = limits
        self._small = replace(limits, size_bytes=min(limits.size_bytes, _SMALL_BYTES))
        self._uploads = UploadSlots(_UPLOADS_BY_ADDRESS)

    async def __call__(self, request: Request) -> Response:
        call = request.path_params["call"]
        own = self._limits if call in _PARTS else self._small
        if announced_too_large(request.headers.get("content-length"), own):
            return _refused("too large", _TOO_LARGE)
        chunks = limited(request.stream(), own)
        try:
            head, goes_on = await read_head(chunks, sys.maxsize if call == _MESSAGES else _HEAD_BYTES)
            if call == _MESSAGES and not are_own_messages(head):
                return _refused("messages of another node", _FORBIDDEN)
            async with self._uploads.slot(_host(request)) if goes_on else contextlib.nullcontext():
                # Built from the list above: the path that the caller sent is not forwarded.
                target, headers = f"/v1/fleet/{call}", _end_to_end(request.headers.items())
                asked = self._client.build_request("POST", target, headers=headers, content=with_head(head, chunks))
                answer = await self._client.send(asked, stream=True)
        except httpx.TransportError:
            return Response("the SuperLink cannot be reached", status_code=_UNAVAILABLE)
        except BodyTooLargeError:
            return _refused("too large", _TOO_LARGE)
        except (ClientDisconnect, TimeoutError):  # the caller is gone, or is a delayed node that retries
            return _refused("the rest of the request did not come", _UNAVAILABLE)
        return _streamed(answer)


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
    connections = Connections(limits_for(_open_many_files()))
    app = gateway(superlink_client(superlink, ca))
    server = gateway_server(app, connections, certificate=certificate, key=key)
    with CountedListener(_listen(host, port), connections) as listening, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def limits_for(most_files: int) -> ConnectionLimits:
    """Return the limits of connections for a process that may have `most_files` open files."""
    limits = ConnectionLimits()
    overall = max(1, min(limits.overall, (most_files - _SPARE_FILES) // 2))
    return replace(limits, overall=overall, by_address=max(1, min(limits.by_address, overall // 2)))


class GatewayProtocol(H11Protocol):
    """uvicorn's protocol that limits headers, with a small buffer for what has arrived and is not read yet."""

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        if isinstance(transport, TlsTransport):
            transport.set_read_buffer_limits(high=_BUFFER_BYTES)  # by default a quarter of a megabyte
        super().connection_made(transport)


@runtime_checkable
class TlsTransport(Protocol):
    """What asyncio has for TLS only."""

    def set_read_buffer_limits(self, high: int) -> None:
        """Stop receiving while so many bytes are not read yet."""


class GatewayServer(uvicorn.Server):
    """A server of an app behind a counted listener. It hangs up on callers that take too long."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def on_tick(self, counter: int) -> bool:
        """Do what is done ten times a second."""
        self._connections.close_overdue()
        return await super().on_tick(counter)


def gateway_server(
    app: Asgi, connections: Connections, *, certificate: Path | None = None, key: Path | None = None
) -> GatewayServer:
    """Return the server of an app; it is to run on a `CountedListener` of the same connections.

    Raises:
        UserError: the certificate or its key is not valid.
    """
    config = uvicorn.Config(
        connections.counting(app),
        log_level="warning",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        # The other protocols and loops know no limit of headers, or accept connections out of Python's sight.
        http=GatewayProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        h11_max_incomplete_event_size=_HEADERS_BYTES,
        proxy_headers=False,  # a caller's word for its address does not count
    )
    try:
        config.load()
    except OSError as error:
        raise UserError(f"{certificate} and {key}: not a certificate and its key: {_words(error)}") from error
    # What a connection keeps of what has arrived; by default a quarter of a megabyte from its first moment on.
    SSLProtocol.max_size = _BUFFER_BYTES
    h11_impl.HIGH_WATER_LIMIT = _BUFFER_BYTES  # type: ignore[attr-defined]
    return GatewayServer(config, connections)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise RunFailedError(f"{host}:{port}: the gateway cannot listen there: {_words(error)}") from error


def _open_many_files() -> int:
    """Raise the limit of open files as far as it goes, and return it."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        most = now
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def _streamed(answer: httpx.Response) -> Response:
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        headers=dict(_end_to_end(answer.headers.items())),
        background=BackgroundTask(answer.aclose),
    )


def _refused(why: str, status: int) -> Response:
    """Return an answer after which the connection is closed: the rest of the request is not read."""
    return Response(why, status, {"connection": "close"})


def _host(request: Request) -> str:
    return request.client.host if request.client else ""


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
