"""A slow link on a fast machine: a relay that lets bytes through at a rate, each way by a token bucket."""

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

_CHUNK_BYTES = 8192
_QUEUE_SECONDS = 0.2  # of the rate: what may wait here; a machine that is busy for so long slows no link down


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Bytes a second each way, None where there is no limit."""

    up_bytes_per_second: float | None = None
    down_bytes_per_second: float | None = None


_Waiting = asyncio.Queue[tuple[bytes, float]]  # chunks and when each came; an empty one is the end


class TokenBucket:
    """Grants bytes at a rate; time in which none were waiting fills it again, up to a chunk.

    It goes by when bytes came, not by when they are let through: a link does not stand still while the machine that
    plays it is late.
    """

    def __init__(self, bytes_per_second: float, now_seconds: float) -> None:
        self.bytes_per_second = bytes_per_second
        self._tokens = float(_CHUNK_BYTES)
        self._filled_at_seconds = now_seconds

    def take(self, num_bytes: int, *, came_seconds: float) -> float:
        """Take out bytes that came at a time, and return the time at which they may pass."""
        earned = max(0.0, came_seconds - self._filled_at_seconds) * self.bytes_per_second
        self._tokens = min(_CHUNK_BYTES, self._tokens + earned) - num_bytes
        self._filled_at_seconds = max(came_seconds, self._filled_at_seconds)
        return self._filled_at_seconds + max(0.0, -self._tokens / self.bytes_per_second)


async def relay(host: str, port: int, rates: Rates, *, on_listening: Callable[[int], None]) -> None:
    """Pass connections to a port of this machine on to a host, for ever; `on_listening` is told the port.

    All connections share one bucket each way, as they would one link.
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
        except* OSError:  # one side is gone, and so is what it had to say
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
    """Pass on what is read, to the end; the other way stays open. Some is read ahead, so it is known when it came."""
    rate = 0.0 if bucket is None else bucket.bytes_per_second
    waiting: _Waiting = asyncio.Queue(1 + math.ceil(rate * _QUEUE_SECONDS / _CHUNK_BYTES))
    async with asyncio.TaskGroup() as both:
        both.create_task(_take_in(reader, waiting))
        both.create_task(_let_out(waiting, writer, bucket))


async def _take_in(reader: asyncio.StreamReader, waiting: _Waiting) -> None:
    now_seconds = asyncio.get_running_loop().time
    while chunk := await reader.read(_CHUNK_BYTES):
        await waiting.put((chunk, now_seconds()))
    await waiting.put((b"", now_seconds()))


async def _let_out(waiting: _Waiting, writer: asyncio.StreamWriter, bucket: TokenBucket | None) -> None:
    now_seconds = asyncio.get_running_loop().time
    while (following := await waiting.get())[0]:
        chunk, came_seconds = following
        if bucket is not None:
            passes_seconds = bucket.take(len(chunk), came_seconds=came_seconds)
            await asyncio.sleep(max(0.0, passes_seconds - now_seconds()))
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()
