import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from fedlab.deploy.gateway import CALLS, gateway


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


@pytest.mark.parametrize("call", CALLS)
def test_what_nodes_ask_for_is_passed_on_with_body_and_headers(door, superlink, call):
    answer = door.post(f"/v1/fleet/{call}", content=b"question", headers={"flwr-node": "signed"})
    assert superlink.asked == [(f"/v1/fleet/{call}", b"question", "signed")]
    assert (answer.status_code, answer.content) == (200, b"answer")
    assert answer.headers["content-type"] == "application/x-protobuf"


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
