"""A client watched from outside: its answer, with what the machine measured meanwhile written on it."""

import resource
from pathlib import Path

from flwr.app import Context, Message, MessageType
from flwr.clientapp import ClientApp

from fedlab.common.clock import stopwatch
from fedlab.common.spans import collecting
from fedlab.deploy.node.journal import Journal, read_journal
from fedlab.messages.measurements import Measures
from fedlab.messages.node_config import read_node_config
from fedlab.messages.replies import add_board, add_measures
from fedlab.results.environment import machine_name
from fedlab.training.workbench import open_workbench

_KIBIBYTE = 1024  # Linux gives the peak in these


def answer_measured(app: ClientApp, message: Message, context: Context) -> Message:
    """Let a client answer; add to its reply how long it took and what the node knows of the network.

    A node with data of its own prepares them when it is first asked what it holds: what is wrong with them comes out
    before the run begins.
    """
    elapsed, node = stopwatch(), read_node_config(context.node_config)
    is_query = message.metadata.message_type == MessageType.QUERY
    if is_query and node.owns_data:
        open_workbench(context)
    with collecting() as spans:
        reply = app(message, context)
    if reply.has_error():
        return reply
    if is_query:
        add_board(reply, node.board or machine_name(), parts=node.parts)
    else:
        add_measures(reply, _measures(elapsed(), spans.get("prepare", 0.0), message, node.journal_path))
    return reply


def _measures(seconds: float, prepare_seconds: float, message: Message, journal_path: str) -> Measures:
    journal = read_journal(Path(journal_path)) if journal_path else Journal()
    return Measures(
        compute_seconds=seconds - prepare_seconds,
        prepare_seconds=prepare_seconds,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE,
        download_seconds=journal.download_seconds(message.metadata.message_id),
        last_upload=journal.upload,
    )
