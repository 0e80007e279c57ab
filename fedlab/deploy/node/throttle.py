"""Throttling: a relay that limits the bandwidth of each direction by a token bucket."""

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK_BYTES = 8192
_QUEUE_SECONDS = 0.2  # the queue holds this many seconds of bytes, so that a busy machine does not slow the link


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The bandwidth of each direction in bytes per second, None for no limit."""

    up_bytes_per_second: float | None = None
    down_bytes_per_second: float | None = None


_Waiting = asyncio.Queue[tuple[bytes, float]]  # chunks and their arrival times; an empty chunk is the end


class TokenBucket:
    """Grants bytes at a rate; idle time refills the bucket, up to one chunk.

    It counts by the arrival times of bytes, not by the times they are sent on: a real link does not stop while the
    machine that simulates it is late.
    """

    def __init__(self, bytes_per_second: float, now_seconds: float) -> None:
        self.bytes_per_second = bytes_per_second
        self._tokens = float(_CHUNK_BYTES)
        self._filled_at_seconds = now_seconds

    def take(self, num_bytes: int, *, came_seconds: float) -> float:
        """Take bytes that arrived at `came_seconds`; return the time at which they may be sent on."""
        earned = max(0.0, came_seconds - self._filled_at_seconds) * self.bytes_per_second
        self._tokens = min(_CHUNK_BYTES, self._tokens + earned) - num_bytes
        self._filled_at_seconds = max(came_seconds, self._filled_at_seconds)
        return self._filled_at_seconds + max(0.0, -self._tokens / self.bytes_per_second)


async def relay(host: str, port: int, rates: Rates, *, on_listening: Callable[[int], None]) -> None:
    """Relay connections from a port of this machine to a host, for ever; `on_listening` is called with the port.

    All connections share one bucket for each direction, as they would share a link.
    """
    now_seconds = asyncio.get_running_loop().time()
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
        except* OSError:  # one side has closed the connection
            pass
        finally:
            for each in (back, writer):
                each.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_CHUNK_BYTES)
    on_listening(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def start_relay(host: str, port: int, rates: Rates) -> int:
    """Run a relay in a thread until the process ends; return its port."""
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
    """Relay one direction to its end; the other stays open. Reading ahead records the arrival times."""
    rate = 0.0 if bucket is None else bucket.bytes_per_second
    waiting: _Waiting = asyncio.Queue(1 + math.ceil(rate * _QUEUE_SECONDS / _CHUNK_BYTES))
    async with asyncio.TaskGroup() as both:
        both.create_task(_read_ahead(reader, waiting))
        both.create_task(_send_on(waiting, writer, bucket))


async def _read_ahead(reader: asyncio.StreamReader, waiting: _Waiting) -> None:
    now_seconds = asyncio.get_running_loop().time
    while chunk := await reader.read(_CHUNK_BYTES):
        await waiting.put((chunk, now_seconds()))
    await waiting.put((b"", now_seconds()))


async def _send_on(waiting: _Waiting, writer: asyncio.StreamWriter, bucket: TokenBucket | None) -> None:
    now_seconds = asyncio.get_running_loop().time
    while (following := await waiting.get())[0]:
        chunk, came_seconds = following
        if bucket is not None:
            passes_seconds = bucket.take(len(chunk), came_seconds=came_seconds)
            await asyncio.sleep(max(0.0, passes_seconds - now_seconds()))
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
