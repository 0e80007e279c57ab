"""Bodies of requests: limited in size and time while they are forwarded, and whose messages they hold."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from flwr.proto.fleet_pb2 import PushMessagesRequest


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """How large a body may be, and how long it may take.

    The parts in which Flower sends arrays have at most 5 MiB. A TLS record of at most 16 KiB takes `pause_seconds` at
    half a kilobyte a second, a part takes `seconds` at 9 kilobytes a second.
    """

    size_bytes: int = 8 * 2**20
    pause_seconds: float = 30.0
    seconds: float = 600.0


class BodyTooLargeError(Exception):
    """A body is larger than the limit."""


async def limited(chunks: AsyncIterator[bytes], limits: BodyLimits) -> AsyncIterator[bytes]:
    """Yield the chunks of a body; raises BodyTooLargeError or TimeoutError where it breaks a limit."""
    end, size = asyncio.get_running_loop().time() + limits.seconds, 0
    while True:
        try:
            async with asyncio.timeout_at(end), asyncio.timeout(limits.pause_seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        size += len(chunk)
        if size > limits.size_bytes:
            raise BodyTooLargeError
        yield chunk


def announced_too_large(content_length: str | None, limits: BodyLimits) -> bool:
    """Tell whether a body's announced length is above the limit."""
    return content_length is not None and content_length.isdecimal() and int(content_length) > limits.size_bytes


async def read_head(chunks: AsyncIterator[bytes], size_bytes: int) -> tuple[bytes, bool]:
    """Return the beginning of a body, of `size_bytes` or more, and whether that may not be all of it."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= size_bytes:
            return head, True
    return head, False


async def with_head(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the beginning of a body, then the rest."""
    yield head
    async for chunk in rest:
        yield chunk


def are_own_messages(body: bytes) -> bool:
    """Tell whether the caller of `push-messages` is the sender of all messages in its body.

    The SuperLink compares the caller that is named here with the key that signed the request, but not the senders.
    """
    try:
        request = PushMessagesRequest.FromString(body)
    except Exception:  # protobuf's own kind: the bytes are no such request
        return False
    return all(message.metadata.src_node_id == request.node.node_id for message in request.messages_list)
