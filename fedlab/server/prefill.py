"""Prefill: all clients fill their activation caches side by side, before any is asked to train."""

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.errors import RunFailedError
from fedlab.messages.orders import PREFILL, prefill_content


def prefill(grid: Grid, depth: int) -> None:
    """Ask all available clients to fill their caches for adapters of this depth, and wait for the slowest.

    A client that is unavailable or fails fills its cache when it is asked to train.

    Raises:
        RunFailedError: all clients fail.
    """
    content = prefill_content(depth)
    replies = list(grid.send_and_receive([Message(content, node, PREFILL) for node in grid.get_node_ids()]))
    if all(reply.has_error() for reply in replies):
        reason = replies[0].error.reason if replies else "nothing came back in time"
        raise RunFailedError(f"client.prefill: none of {len(replies)} clients filled its cache: {reason}")
