"""Connections of the gateway's callers: limited in number, overall and by address, and in the time that they take.

They are counted from the moment they are accepted: a caller that never begins the TLS handshake takes a place, too.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fedlab.common.clock import stopwatch

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Peer = tuple[str, int]  # a caller's address and port

_NETWORK_BITS = 64  # of IPv6: a household or a host has that many addresses of its own


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """How many connections may be open, and for how long.

    `head_seconds` is the time from the beginning of a connection, or from the end of its last answer, to the end of
    the next request's headers; `request_seconds` is the time from there to the end of the answer.
    """

    overall: int = 192  # of up to 200 KB each
    by_address: int = 64  # the nodes behind one router or in the containers of one host share an address
    head_seconds: float = 20.0
    request_seconds: float = 1500.0


@dataclass(kw_only=True)
class _Connection:
    accepted: socket.socket
    network: str
    busy: bool = False  # its request's headers are complete, and its answer is not
    lasts: Callable[[], float] = field(default_factory=stopwatch)  # seconds since `busy` changed

    def change(self, *, busy: bool) -> None:
        self.busy, self.lasts = busy, stopwatch()

    def close(self) -> None:
        """Hang up. The event loop, which owns the socket, finds it ended and closes it."""
        with contextlib.suppress(OSError):  # it is closed already
            self.accepted.shutdown(socket.SHUT_RDWR)


class Connections:
    """The open connections of a server.

    A connection beyond a limit is made room for: of those of the same address, else of the address with the most, the
    one is closed that has waited longest for a request. If all others are at work, that is the new one.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._open: dict[Peer, _Connection] = {}

    def admit(self, accepted: socket.socket, peer: Peer) -> None:
        """Count a new connection, and close one if there are too many."""
        self._open = {key: each for key, each in self._open.items() if each.accepted.fileno() >= 0}
        new = self._open[peer] = _Connection(accepted=accepted, network=network_of(peer[0]))
        networks = Counter(each.network for each in self._open.values())
        if networks[new.network] > self._limits.by_address:
            self._close_one(new.network)
        elif len(self._open) > self._limits.overall:
            self._close_one(networks.most_common(1)[0][0])

    def close_overdue(self) -> None:
        """Close the connections that have taken too long."""
        for peer, each in list(self._open.items()):
            if each.lasts() > (self._limits.request_seconds if each.busy else self._limits.head_seconds):
                self._close(peer)

    def counting(self, app: Asgi) -> Asgi:
        """Return the app, which notes when a request begins and ends."""

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            host, port = scope.get("client") or ("", 0)
            connection = self._open.get((host, port))
            if connection is None:
                await app(scope, receive, send)
                return
            connection.change(busy=True)
            try:
                await app(scope, receive, send)
            finally:
                connection.change(busy=False)

        return noted

    def _close_one(self, network: str) -> None:
        own = {peer: each for peer, each in self._open.items() if each.network == network}
        idle = {peer: each.lasts() for peer, each in own.items() if not each.busy}
        # Of the largest network none may be idle: then the last one goes, which is the newest.
        self._close(max(idle, key=idle.__getitem__) if idle else next(reversed(own)))

    def _close(self, peer: Peer) -> None:
        self._open.pop(peer).close()


class CountedListener(socket.socket):
    """A listening socket that tells `connections` of every connection. It takes over the socket that it is made of."""

    def __init__(self, listening: socket.socket, connections: Connections) -> None:
        super().__init__(fileno=listening.detach())
        self._connections = connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and count it."""
        accepted, address = super().accept()
        self._connections.admit(accepted, (str(address[0]), int(address[1])))
        return accepted, address


class UploadSlots:
    """Large bodies that each address may send at a time: the SuperLink keeps them in memory until they are complete."""

    def __init__(self, by_address: int) -> None:
        self._by_address = by_address
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._callers: Counter[str] = Counter()  # that hold a slot or wait for one

    @contextlib.asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """Wait for a free slot of a caller's address, and hold it."""
        network = network_of(host)
        self._callers[network] += 1
        try:
            async with self._slots.setdefault(network, asyncio.Semaphore(self._by_address)):
                yield
        finally:
            self._callers[network] -= 1
            if not self._callers[network]:
                del self._callers[network], self._slots[network]


def network_of(host: str) -> str:
    """Return what counts as one address: an IPv4 address, or the network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))
