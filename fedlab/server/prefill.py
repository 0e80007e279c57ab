"""Filling the activation caches of all clients side by side, before the first of them is asked to train."""

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.errors import RunFailedError
from fedlab.messages.orders import PREFILL, prefill_content
from fedlab.workload.workload import Configuration


def prefill(grid: Grid, configuration: Configuration) -> None:
    """Have all available clients fill their caches for this configuration, and wait for the slowest.

    A client that is not available, or fails, fills its cache when it is asked to train.

    Raises:
        RunFailedError: all fail.
    """
    content = prefill_content(configuration)
    replies = list(grid.send_and_receive([Message(content, node, PREFILL) for node in grid.get_node_ids()]))
    if all(reply.has_error() for reply in replies):
        reason = replies[0].error.reason if replies else "nothing came back in time"
        raise RunFailedError(f"client.prefill: none of {len(replies)} clients filled its cache: {reason}")
