"""A slow link on a fast machine: a relay that lets bytes through at a rate, each way by a token bucket."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK_BYTES = 8192
_BURST_SECONDS = 0.02  # of the rate: what may pass at once after a pause


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Bytes a second each way, None where there is no limit."""

    up_bytes_per_second: float | None = None
    down_bytes_per_second: float | None = None


class TokenBucket:
    """Grants bytes at a rate; what was not used fills it again up to its burst, which is at least a chunk."""

    def __init__(self, bytes_per_second: float, now_seconds: Callable[[], float]) -> None:
        self._rate = bytes_per_second
        self._burst = max(float(_CHUNK_BYTES), bytes_per_second * _BURST_SECONDS)
        self._now_seconds = now_seconds
        self._tokens = self._burst
        self._filled_at = now_seconds()

    def take(self, num_bytes: int) -> float:
        """Take bytes out and return how many seconds to wait until they may pass."""
        now = self._now_seconds()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate) - num_bytes
        self._filled_at = now
        return max(0.0, -self._tokens / self._rate)


async def relay(host: str, port: int, rates: Rates, *, on_listening: Callable[[int], None]) -> None:
    """Pass connections to a port of this machine on to a host, for ever; `on_listening` is told the port.

    All connections share one bucket each way, as they would one link.
    """
    now_seconds = asyncio.get_running_loop().time
    up, down = (
        None if rate is None else TokenBucket(rate, now_seconds)
        for rate in (rates.up_bytes_per_second, rates.down_bytes_per_second)
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(host, port, limit=_CHUNK_BYTES)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_pass_on(reader, back, up), _pass_on(there, writer, down))
        except OSError:  # one side is gone, and so is what it had to say
            pass
        finally:
            for each in (back, writer):
                each.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_CHUNK_BYTES)
    on_listening(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def start_relay(host: str, port: int, rates: Rates) -> int:
    """Run a relay in a thread of this process, as long as it lasts; return its port."""
    listening = threading.Event()
    ports: list[int] = []

    def on_listening(own_port: int) -> None:
        ports.append(own_port)
        listening.set()

    work = lambda: asyncio.run(relay(host, port, rates, on_listening=on_listening))  # noqa: E731
    threading.Thread(target=work, name="relay", daemon=True).start()
    listening.wait()
    return ports[0]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bucket: TokenBucket | None) -> None:
    """Pass on what is read, to the end; the other way stays open."""
    while chunk := await reader.read(_CHUNK_BYTES):
        if bucket is not None and (wait_seconds := bucket.take(len(chunk))):
            await asyncio.sleep(wait_seconds)
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
