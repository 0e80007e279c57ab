"""Flower's grid with real nodes behind it: known by their partitions, waited for, and given up when they are silent."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from flwr.app import Message, MessageType
from flwr.serverapp import Grid

from fedlab.common.clock import stopwatch
from fedlab.common.units import human_seconds
from fedlab.deploy.server.node_registry import Debts, Roster
from fedlab.deploy.server.validate_reply import flaw
from fedlab.deploy.settings import Patience
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
from fedlab.messages.round_terms import RoundTerms

# How much longer than its answer can count an order lives: for polls, transfers, and clocks that differ.
_GRACE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class _OpenOrder:
    """An order that has not been answered, and the terms of its round; `batch` counts the calls that sent some."""

    message: Message
    sent_seconds: float
    terms: RoundTerms
    round: tuple[int, str]  # batch and group
    delivered: bool


class LiveGrid(GridAround):
    """Lists nodes that have said which partition they hold; orders they leave unanswered come back as errors.

    A round's terms are kept in real time: once `wait_for` clients of a group have answered, or its deadline is over,
    its others are late. What a late client sends after all is never looked at, and it is asked for nothing more until
    it is done: an order lives no longer than its answer can count, and nobody works on two. A reply that makes no sense
    is an error, too. `tell` is told in words whom the server waits for, and who is left out.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        patience: Patience,
        tell: Callable[[str], None],
        now_seconds: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(grid)
        self._patience = patience
        self._tell = tell
        self._now_seconds = now_seconds or stopwatch()
        debts = Debts(at_most_seconds=patience.reply_seconds, now_seconds=self._now_seconds)
        self._roster = Roster(grid, debts=debts, tell=tell, parts=patience.nodes)
        self._open: dict[str, _OpenOrder] = {}
        self._answered: Counter[tuple[int, str]] = Counter()
        self._batches = 0

    @property
    def partitions(self) -> Mapping[int, int]:
        """The partition of every node that was ever there; it grows as nodes come."""
        return self._roster.partitions

    def board(self, partition_id: int) -> str:
        """Return what the node of a partition says it runs on, empty if nothing."""
        return self._roster.boards.get(partition_id, "")

    def parts_of(self, partition_id: int) -> int | None:
        """Return into how many parts the node of a partition splits the experiment's data, None if it has its own."""
        return self._roster.parts_of(partition_id)

    def gather(self) -> list[int]:
        """Wait for the nodes a run is to start with, and return those there are.

        Raises:
            RunFailedError: there are too few in the end.
        """
        there = self._roster.wait(self._patience.nodes, at_most_seconds=self._patience.wait_seconds)
        return self._enough(there)

    def get_node_ids(self) -> Sequence[int]:
        """Return the nodes that are there and free, one a partition; wait for some where there are too few.

        Raises:
            RunFailedError: they did not come.
        """
        least = self._patience.least_nodes
        return self._enough(self._roster.wait(least, at_most_seconds=self._patience.wait_seconds))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; one that the engine does not take comes back as an error."""
        outgoing = list(messages)
        self._batches += 1
        for message in outgoing:
            message.metadata.ttl = self._counts_seconds(_terms(message)) + _GRACE_SECONDS
        ids: list[str | None] = [*self._grid.push_messages(outgoing)] or [None] * len(outgoing)
        names = [name or f"unsent-{self._batches}-{at}" for at, name in enumerate(ids)]
        for name, message, taken in zip(names, outgoing, ids, strict=True):
            self._open[name] = self._order(message, delivered=taken is not None)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there, and an error for each order whose time is up."""
        wanted = {name: self._open[name] for name in message_ids if name in self._open}
        there = [name for name, order in wanted.items() if order.delivered]
        arrived = {each.metadata.reply_to_message_id: each for each in self._grid.pull_messages(there)} if there else {}
        replies = {name: _vetted(reply) for name, reply in arrived.items() if name in wanted}
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
            self._roster.give_up(given_up)
        return list(replies.values())

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Not offered: a timed grid, which polls by itself, stands above this one."""
        raise NotImplementedError

    def _enough(self, there: list[int]) -> list[int]:
        least, waited = self._patience.least_nodes, human_seconds(self._patience.wait_seconds)
        if len(there) < least:
            raise RunFailedError(f"{len(there)} nodes are there and {least} are needed; waited {waited} for others")
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
        """Return why an order that has no reply will be given none, None while it is still waited for."""
        terms, waited = order.terms, self._now_seconds() - order.sent_seconds
        if not order.delivered:
            return CLIENT_UNAVAILABLE, "gone: the engine knows no such node any more"
        if terms.wait_for is not None and self._answered[order.round] >= terms.wait_for:
            return REPLY_LATE, f"late: {terms.wait_for} others were done first, after {human_seconds(waited)}"
        if waited >= _deadline_seconds(terms):
            return REPLY_LATE, f"late: not done when the round was over, after {human_seconds(waited)}"
        if waited >= self._patience.reply_seconds:
            return CLIENT_UNAVAILABLE, f"silent for {human_seconds(waited)}"
        return None

    def _counts_seconds(self, terms: RoundTerms) -> float:
        """Return for how long the answer to an order can count."""
        return min(_deadline_seconds(terms), self._patience.reply_seconds)


def _terms(message: Message) -> RoundTerms:
    return RoundTerms() if message.metadata.message_type == MessageType.QUERY else read_terms(message)


def _deadline_seconds(terms: RoundTerms) -> float:
    return inf if terms.deadline_seconds is None else terms.deadline_seconds


def _vetted(reply: Message) -> Message:
    """Return a reply, an error in its place where it makes no sense; a client that was killed is gone."""
    if reply.has_error():
        killed = reply.error.code == CLIENT_CRASHED
        return unusable(reply, reply.error.reason or "", CLIENT_UNAVAILABLE) if killed else reply
    reason = flaw(reply)
    return unusable(reply, reason) if reason else reply
