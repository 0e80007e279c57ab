"""A door between nodes and SuperLink that lets through what nodes need, and nothing else.

A SuperLink answers three kinds of callers at one port: nodes (`/v1/fleet/`), apps (`/v1/runtime/`), and whoever submits
code and registers nodes (`/v1/control/`), who needs no login. Nodes are given this door's address instead.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

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
# A node tries again after a 503, but takes a 500 for the end of its connection and asks for no more work.
_UNAVAILABLE = 503


def gateway(client: httpx.AsyncClient) -> Starlette:
    """Return the door as an ASGI app; the client's base address is that of the SuperLink.

    `/health` asks for the SuperLink's own.
    """

    async def forward(request: Request) -> Response:
        headers = _end_to_end(request.headers.items())
        # Made anew from the list above: nothing of what the caller wrote as path goes further.
        target = f"/v1/fleet/{request.path_params['call']}"
        asked = client.build_request("POST", target, headers=headers, content=request.stream())
        try:
            answer = await client.send(asked, stream=True)
        except httpx.TransportError:
            return Response("the SuperLink cannot be reached", status_code=_UNAVAILABLE)
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


def run_gateway(
    superlink: str,
    *,
    host: str,
    port: int,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve the door until the process is ended; without a certificate in plaintext, and so to the SuperLink."""
    secure = ca is not None
    client = httpx.AsyncClient(
        base_url=f"{'https' if secure else 'http'}://{superlink}",
        verify=_trust(ca),
        timeout=_TIMEOUT,
        trust_env=False,
    )
    uvicorn.run(
        gateway(client),
        host=host,
        port=port,
        log_level="warning",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _trust(ca: Path | None) -> bool | ssl.SSLContext:
    return False if ca is None else ssl.create_default_context(cafile=str(ca))


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
