"""A client watched from outside: its answer, with what the machine measured meanwhile written on it."""

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, MessageType
from flwr.clientapp import ClientApp

from fedlab.common.clock import stopwatch
from fedlab.common.spans import collecting
from fedlab.deploy.node.config import owns_data, parts_of
from fedlab.deploy.node.journal import Journal, read_journal
from fedlab.messages.measurements import Measures
from fedlab.messages.replies import add_board, add_measures
from fedlab.results.environment import machine_name
from fedlab.training.bundle import open_workbench

_KIBIBYTE = 1024  # Linux gives the peak in these


def answer_measured(app: ClientApp, message: Message, context: Context) -> Message:
    """Let a client answer; add to its reply how long it took and what the node knows of the network.

    A node with data of its own prepares them when it is first asked what it holds: what is wrong with them comes out
    before the run begins.
    """
    elapsed = stopwatch()
    if message.metadata.message_type == MessageType.QUERY and owns_data(context.node_config):
        open_workbench(context.run_config, context.node_config)
    with collecting() as spans:
        reply = app(message, context)
    if reply.has_error():
        return reply
    if message.metadata.message_type == MessageType.QUERY:
        board = str(context.node_config.get("board") or machine_name())
        add_board(reply, board, parts=parts_of(context.node_config))
    else:
        add_measures(reply, _measures(elapsed(), spans.get("prepare", 0.0), message, context.node_config))
    return reply


def _measures(seconds: float, prepare_seconds: float, message: Message, node_config: Mapping[str, Any]) -> Measures:
    path = node_config.get("journal-path")
    journal = read_journal(Path(str(path))) if path else Journal()
    return Measures(
        compute_seconds=seconds - prepare_seconds,
        prepare_seconds=prepare_seconds,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE,
        download_seconds=journal.download_seconds(message.metadata.message_id),
        last_upload=journal.upload,
    )
