"""The live grid: Flower's grid of real nodes, with their partitions, waiting for nodes, and dropout of silent ones."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from flwr.app import Message, MessageType
from flwr.serverapp import Grid

from fedlab.common.clock import stopwatch
from fedlab.common.units import human_seconds
from fedlab.deploy.server.node_registry import NodeRegistry, UnansweredOrders
from fedlab.deploy.settings import WaitSettings
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import (
    CLIENT_CRASHED,
    CLIENT_UNAVAILABLE,
    MESSAGE_EXPIRED,
    REPLY_LATE,
    error_reply,
    unusable,
    with_id,
)
from fedlab.messages.grids import GridAround
from fedlab.messages.orders import group_of, read_terms
from fedlab.messages.replies import workload_flaw
from fedlab.messages.round_terms import RoundTerms

# An order expires this much later than its reply can count, to allow for polls, transfers and differing clocks.
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class _OpenOrder:
    """An order without a reply yet, and the terms of its round."""

    message: Message
    sent_seconds: float
    terms: RoundTerms
    round: tuple[int, str]  # number of the sending call, and group
    delivered: bool


class LiveGrid(GridAround):
    """Lists the nodes whose partitions are known; unanswered orders come back as errors.

    The terms of a round hold in real time: once `wait_for` clients of a group have answered, or the deadline is over,
    the other clients of the group are late. The reply of a late client is never read, and the client gets no new orders
    until it is done; an order expires when its reply can no longer count, so no client works on two. An invalid reply
    becomes an error, too. `tell` receives messages about nodes that the server waits for or leaves out.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        wait: WaitSettings,
        tell: Callable[[str], None],
        now_seconds: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(grid)
        self._wait_settings = wait
        self._tell = tell
        self._now_seconds = now_seconds or stopwatch()
        unanswered = UnansweredOrders(at_most_seconds=wait.reply_seconds, now_seconds=self._now_seconds)
        self._registry = NodeRegistry(grid, unanswered=unanswered, tell=tell, parts=wait.nodes)
        self._open: dict[str, _OpenOrder] = {}
        self._answered: Counter[tuple[int, str]] = Counter()
        self._batches = 0

    @property
    def partitions(self) -> Mapping[int, int]:
        """The partition of every node that has ever joined; it grows as nodes join."""
        return self._registry.partitions

    def board(self, partition_id: int) -> str:
        """Return the board that the node of a partition reports, empty if it reports none."""
        return self._registry.boards.get(partition_id, "")

    def parts_of(self, partition_id: int) -> int | None:
        """Return into how many parts the node of a partition splits the experiment's data, None if it has its own."""
        return self._registry.parts_of(partition_id)

    def gather(self) -> list[int]:
        """Wait for the nodes that a run starts with, and return those available.

        Raises:
            RunFailedError: there are too few after the wait.
        """
        there = self._registry.wait(self._wait_settings.nodes, at_most_seconds=self._wait_settings.wait_seconds)
        return self._require_enough(there)

    def get_node_ids(self) -> Sequence[int]:
        """Return the available and free nodes, one for each partition; wait for more if there are too few.

        Raises:
            RunFailedError: there are too few after the wait.
        """
        least = self._wait_settings.least_nodes
        return self._require_enough(self._registry.wait(least, at_most_seconds=self._wait_settings.wait_seconds))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; a message that Flower does not accept comes back as an error."""
        outgoing = list(messages)
        self._batches += 1
        for message in outgoing:
            message.metadata.ttl = self._valid_seconds(_terms(message)) + _GRACE_SECONDS
        ids: list[str | None] = [*self._grid.push_messages(outgoing)] or [None] * len(outgoing)
        names = [name or f"unsent-{self._batches}-{at}" for at, name in enumerate(ids)]
        for name, message, taken in zip(names, outgoing, ids, strict=True):
            self._open[name] = self._order(message, delivered=taken is not None)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that have arrived, and an error for each order that has expired."""
        wanted = {name: self._open[name] for name in message_ids if name in self._open}
        there = [name for name, order in wanted.items() if order.delivered]
        arrived = {each.metadata.reply_to_message_id: each for each in self._grid.pull_messages(there)} if there else {}
        replies = {name: _validated(reply) for name, reply in arrived.items() if name in wanted}
        self._answered.update(wanted[name].round for name, reply in replies.items() if not reply.has_error())
        for name, order in wanted.items():
            if name not in replies and (failure := self._failure(order)):
                replies[name] = error_reply(with_id(order.message, name), *failure)
        given_up = []
        for name, reply in replies.items():
            order = self._open.pop(name)
            if reply.has_error():
                node = order.message.metadata.dst_node_id
                self._tell(f"client {self.partitions.get(node)}: {reply.error.reason}")
                if order.delivered and (name not in arrived or reply.error.code == MESSAGE_EXPIRED):
                    given_up.append(node)
        if given_up:
            self._registry.give_up(given_up)
        return list(replies.values())

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Not implemented: the timed grid above this one polls by itself."""
        raise NotImplementedError

    def _require_enough(self, there: list[int]) -> list[int]:
        least, waited = self._wait_settings.least_nodes, human_seconds(self._wait_settings.wait_seconds)
        if len(there) < least:
            raise RunFailedError(f"{len(there)} nodes are available and {least} are needed; waited {waited} for more")
        return there

    def _order(self, message: Message, *, delivered: bool) -> _OpenOrder:
        return _OpenOrder(
            message=message,
            sent_seconds=self._now_seconds(),
            terms=_terms(message),
            round=(self._batches, group_of(message)),
            delivered=delivered,
        )

    def _failure(self, order: _OpenOrder) -> tuple[int, str] | None:
        """Return why an order without a reply is given up, None while the server still waits for it."""
        terms, waited = order.terms, self._now_seconds() - order.sent_seconds
        if not order.delivered:
            return CLIENT_UNAVAILABLE, "gone: the SuperLink no longer knows this node"
        if terms.wait_for is not None and self._answered[order.round] >= terms.wait_for:
            return REPLY_LATE, f"late: {terms.wait_for} others were done first, after {human_seconds(waited)}"
        if waited >= _deadline_seconds(terms):
            return REPLY_LATE, f"late: not done when the round was over, after {human_seconds(waited)}"
        if waited >= self._wait_settings.reply_seconds:
            return CLIENT_UNAVAILABLE, f"silent for {human_seconds(waited)}"
        return None

    def _valid_seconds(self, terms: RoundTerms) -> float:
        """Return how long the reply to an order can count."""
        return min(_deadline_seconds(terms), self._wait_settings.reply_seconds)


def _terms(message: Message) -> RoundTerms:
    return RoundTerms() if message.metadata.message_type == MessageType.QUERY else read_terms(message)


def _deadline_seconds(terms: RoundTerms) -> float:
    return inf if terms.deadline_seconds is None else terms.deadline_seconds


def _validated(reply: Message) -> Message:
    """Return a reply, or an error in its place if it is invalid; a client that was killed counts as gone."""
    if reply.has_error():
        killed = reply.error.code == CLIENT_CRASHED
        return unusable(reply, reply.error.reason or "", CLIENT_UNAVAILABLE) if killed else reply
    reason = workload_flaw(reply)
    return unusable(reply, reason) if reason else reply
