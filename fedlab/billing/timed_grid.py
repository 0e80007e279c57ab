"""The timed grid: bills every message that passes through it and advances the clock."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Protocol

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.billing.availability_wait import AvailabilityWait
from fedlab.billing.orders import (
    MessageTerms,
    SentMessage,
    bill_of_failure,
    order_of,
    participation_of,
    readable,
    record_of,
)
from fedlab.billing.simulated import Bill, Participation
from fedlab.common.clock import Clock, pause, stopwatch
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import (
    CLIENT_UNAVAILABLE,
    REPLY_UNUSABLE,
    SERVER_NODE_ID,
    error_reply,
    record_bytes,
    unusable,
    with_id,
)
from fedlab.messages.grids import GridAround
from fedlab.messages.orders import query_message
from fedlab.messages.replies import add_cost, read_query_reply, read_train_loss
from fedlab.messages.round_terms import RoundTerms
from fedlab.results.records import ClientRecord

_POLL_SECONDS = 0.5
_MOST_UNREACHED_BATCHES = 1000  # successive batches that reach no client


class Physics(Protocol):
    """The cost of the participations of clients that work concurrently."""

    def bill(self, parts: Sequence[Participation], terms: Mapping[str, RoundTerms]) -> list[Bill]:
        """Return the bill of each participation; `terms` are the round terms of each group."""

    def device(self, partition_id: int) -> str:
        """Return the name of a partition's board."""


class TimedGrid(GridAround):
    """Bills every train and evaluate message, and advances the clock to the end of the round.

    The bytes are those of the encoded messages, the work is what the client reports; the physics turns both into a
    bill, which is added to the reply and passed to `on_clients`. Lost work, of a client that is late, gone or out of
    memory, comes back as an error with the reason. The groups of one call to `send_and_receive` run in parallel: each
    advances its own lane of the clock, if the clock is forked. Replies are returned in the order of their messages, not
    of their arrival.

    Only available nodes are listed. A message to a node that has left is not sent.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        clock: Clock,
        physics: Physics,
        availability_wait: AvailabilityWait,
        partitions: Mapping[int, int],
        on_clients: Callable[[Sequence[ClientRecord]], None],
    ) -> None:
        super().__init__(grid)
        self._clock = clock
        self._physics = physics
        self._availability_wait = availability_wait
        self._partitions = partitions
        self._on_clients = on_clients
        self._sent: dict[str, SentMessage] = {}
        self._server_round = 0
        self._unsent_count = 0
        self._unreached_batches = 0

    def get_node_ids(self) -> Sequence[int]:
        """Return the available nodes in the order of their partitions, so that draws pick the same clients.

        Raises:
            RunFailedError: too few will ever be available.
        """
        return self._availability_wait.nodes(self._grid.get_node_ids(), server_round=self._server_round)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages, and note their sizes and start times.

        Raises:
            RunFailedError: too many successive batches reached no client.
        """
        outgoing = list(messages)
        # Strategies share one content among many messages, so each content is read once.
        orders = {key: order_of(each) for key, each in {id(each.content): each for each in outgoing}.items()}
        notes = [self._note(message, orders[id(message.content)]) for message in outgoing]
        self._check_reached(notes)
        ids = iter(self._grid.push_messages([note.message for note in notes if note.reached]))
        sent = {next(ids) if note.reached else self._id_of_unsent(): note for note in notes}
        self._sent |= sent
        return list(sent)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that have arrived, billed, in the order of `message_ids`."""
        wanted = list(message_ids)
        replies = self._bill(self._pull(wanted))
        return [replies[message_id] for message_id in wanted if message_id in replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and wait for the replies, at most `timeout` real seconds; bill those that arrived."""
        ids = self.push_messages(messages)
        elapsed_seconds = stopwatch()
        replies = self._pull(ids)
        while len(replies) < len(ids) and (timeout is None or elapsed_seconds() < timeout):
            pause(_POLL_SECONDS)
            replies |= self._pull([message_id for message_id in ids if message_id not in replies])
        billed = self._bill(replies)
        return [billed[message_id] for message_id in ids if message_id in billed]

    def _note(self, message: Message, order: MessageTerms) -> SentMessage:
        now = self._clock.now(self._lane(order.group))
        partition_id, server_round = self._partitions[message.metadata.dst_node_id], order.server_round
        self._server_round = max(self._server_round, server_round)
        leaves = self._availability_wait.leaves_seconds(partition_id, server_round=server_round, at_seconds=now)
        sent = SentMessage(
            message=message, order=order, partition_id=partition_id, start_seconds=now, leaves_seconds=leaves
        )
        return sent if sent.billed else replace(sent, leaves_seconds=inf)

    def _check_reached(self, notes: Sequence[SentMessage]) -> None:
        self._unreached_batches = 0 if any(note.reached for note in notes) else self._unreached_batches + 1
        if self._unreached_batches > _MOST_UNREACHED_BATCHES:
            raise RunFailedError(f"no client could be reached, {_MOST_UNREACHED_BATCHES} times in a row")

    def _id_of_unsent(self) -> str:
        self._unsent_count += 1
        return f"unsent-{self._unsent_count}"

    def _lane(self, group: str) -> str | None:
        return group if group in self._clock.lanes() else None

    def _pull(self, message_ids: Sequence[str]) -> dict[str, Message]:
        """Return the replies that have arrived, and an error for each message that was not sent."""
        known = {each: self._sent[each] for each in message_ids if each in self._sent}
        unsent = {
            message_id: error_reply(with_id(sent.message, message_id), CLIENT_UNAVAILABLE, "gone")
            for message_id, sent in known.items()
            if not sent.reached
        }
        arrived = self._grid.pull_messages([each for each in message_ids if each not in unsent])
        replies = {str(reply.metadata.reply_to_message_id): reply for reply in arrived}
        return unsent | {
            message_id: _sound(known[message_id], message_id, reply)
            for message_id, reply in replies.items()
            if message_id in known
        }

    def _bill(self, arrived: Mapping[str, Message]) -> dict[str, Message]:
        """Bill replies that arrived together, as their senders worked concurrently; return the billed replies."""
        came = {
            message_id: self._sent.pop(message_id) for message_id in [each for each in self._sent if each in arrived]
        }
        asked = {message_id: sent for message_id, sent in came.items() if sent.billed}
        replies = {each: readable(reply) if each in asked else reply for each, reply in arrived.items()}
        parts = {
            message_id: participation_of(sent, replies[message_id])
            for message_id, sent in asked.items()
            if not (sent.reached and replies[message_id].has_error())
        }
        terms = {sent.order.group: sent.order.terms for sent in asked.values()}
        bills = dict(zip(parts, self._physics.bill(list(parts.values()), terms), strict=True))
        for message_id, sent in asked.items():
            if message_id not in bills:
                bills[message_id] = bill_of_failure(sent, replies[message_id])
        self._advance(asked, bills)
        self._on_clients(
            [
                record_of(sent, bills[each], parts.get(each), replies[each], self._physics.device(sent.partition_id))
                for each, sent in asked.items()
            ]
        )
        return {each: _billed(reply, bills.get(each)) for each, reply in replies.items()}

    def _advance(self, asked: Mapping[str, SentMessage], bills: Mapping[str, Bill]) -> None:
        """Advance each lane to the end of its round."""
        ends: dict[str | None, float] = {}
        for message_id, sent in asked.items():
            lane = self._lane(sent.order.group)
            ends[lane] = max(ends.get(lane, 0.0), bills[message_id].round_ends_seconds)
        for lane, end in ends.items():
            self._clock.advance(max(0.0, end - self._clock.now(lane)), lane)


def _sound(sent: SentMessage, message_id: str, reply: Message) -> Message:
    """Return a reply, or an error in its place if it is not of the node that was asked or cannot be measured.

    The SuperLink answers for a node that is gone or too late; its error is made the node's, whom it is about.
    """
    node_id, asked = sent.message.metadata.dst_node_id, with_id(sent.message, message_id)
    if reply.has_error() and reply.metadata.src_node_id == SERVER_NODE_ID:
        return error_reply(asked, reply.error.code, reply.error.reason or "")
    try:
        reason = None if reply.metadata.src_node_id == node_id else "the reply is another node's"
        if reason is None and not reply.has_error():
            record_bytes(reply.content)
            read_train_loss(reply)
    except Exception as error:  # whatever a client sends must not end the run
        reason = f"the reply cannot be measured: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return reply if reason is None else error_reply(asked, REPLY_UNUSABLE, reason)


def _billed(reply: Message, bill: Bill | None) -> Message:
    """Return a reply with its cost added, or an error in its place if its work is lost."""
    if bill is None or bill.dropout == "failed":
        return reply
    if bill.dropout is not None:
        return unusable(reply, bill.reason or "")
    add_cost(reply, bill.cost)
    return reply


def find_partitions(grid: Grid) -> dict[int, int]:
    """Ask every node for its partition; return the partition id by node id.

    Flower's node ids are random, so seeded draws are made over partition ids.

    Raises:
        RunFailedError: a node does not answer.
    """
    nodes = list(grid.get_node_ids())
    replies = list(grid.send_and_receive([query_message(node) for node in nodes]))
    for reply in replies:
        if reply.has_error():
            raise RunFailedError(f"a client did not say which partition it holds: {reply.error.reason}")
    return {reply.metadata.src_node_id: read_query_reply(reply) for reply in replies}
