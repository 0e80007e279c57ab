"""A grid that leaves out models that clients have kept, and sends them to those that answer that they have not."""

from collections.abc import Callable, Iterable, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlab.messages.flower_private import answering, holding
from fedlab.messages.grids import GridAround
from fedlab.messages.kept_model import is_kept, lacks_model, with_kept, without_kept


class ResendingGrid(GridAround):
    """Sends orders without the models that their clients are taken to have kept; sends them again where that is wrong.

    A strategy can only guess what a client has: a client may have been restarted without its state, or the server may
    have been resumed from a round before the one whose model the client kept. So what the client says counts. It gets
    the same order with the model, once, and only the reply to that is handed on. Both exchanges are billed by the grids
    below. `note` is told how many models were sent again.
    """

    def __init__(self, grid: Grid, *, note: Callable[[str], None]) -> None:
        super().__init__(grid)
        self._note = note
        self._kept: dict[str, Message] = {}  # orders whose models were left out, by the id of the message
        self._first: dict[str, str] = {}  # the id of the first message, by that of the one that was sent again

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages, without the models that are kept."""
        outgoing = list(messages)
        ids = list(self._grid.push_messages(_changed(outgoing, without_kept)))
        self._kept |= {each: order for each, order in zip(ids, outgoing, strict=False) if is_kept(order.content)}
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that have arrived; of an order that is sent again, the reply to that comes later."""
        wanted = list(message_ids)
        again = {each: first for each, first in self._first.items() if first in wanted}
        latest = {first: each for each, first in again.items()}
        pulled = self._grid.pull_messages([latest.get(each, each) for each in wanted])
        replies = {_answered(reply): reply for reply in pulled}
        kept = {each: self._kept.pop(each) for each in replies if each in self._kept}
        lacking = {each: order for each, order in kept.items() if lacks_model(replies[each])}
        self._first |= dict(zip(self._resent(list(lacking.values())), lacking, strict=False))
        return [
            answering(reply, self._first.pop(each)) if each in again else reply
            for each, reply in replies.items()
            if each not in lacking
        ]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages, at most one to a node, and return the replies."""
        outgoing = list(messages)
        replies = list(self._grid.send_and_receive(_changed(outgoing, without_kept), timeout=timeout))
        lacking = {_sender(reply) for reply in replies if lacks_model(reply)}
        orders = [each for each in outgoing if is_kept(each.content) and each.metadata.dst_node_id in lacking]
        if not orders:
            return replies
        again = {_sender(reply): reply for reply in self._grid.send_and_receive(self._whole(orders), timeout=timeout)}
        asked = {each.metadata.dst_node_id for each in orders}
        final = [again.get(_sender(reply)) if _sender(reply) in asked else reply for reply in replies]
        return [reply for reply in final if reply is not None]

    def _resent(self, orders: Sequence[Message]) -> list[str]:
        """Send orders again with the models, and return the ids of the messages."""
        return list(self._grid.push_messages(self._whole(orders))) if orders else []

    def _whole(self, orders: Sequence[Message]) -> list[Message]:
        self._note(f"{len(orders)} clients had not kept the model, and were sent it again")
        return _changed(orders, with_kept)


def _changed(messages: Sequence[Message], change: Callable[[RecordDict], RecordDict]) -> list[Message]:
    """Return messages with the kept models left out or put in; a content that messages share stays shared."""
    shared = {id(each.content): each.content for each in messages}
    contents = {key: change(content) if is_kept(content) else content for key, content in shared.items()}
    return [holding(each, contents[id(each.content)]) for each in messages]


def _answered(reply: Message) -> str:
    return str(reply.metadata.reply_to_message_id)


def _sender(reply: Message) -> int:
    return int(reply.metadata.src_node_id)
