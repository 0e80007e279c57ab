"""Which nodes there are, and which partition each holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.common.clock import pause, stopwatch
from fedlab.common.units import human_seconds
from fedlab.messages.flower_private import MESSAGE_EXPIRED
from fedlab.messages.orders import query_message
from fedlab.messages.replies import read_board, read_parts, read_query_reply


class Debts:
    """Nodes that are to be asked for nothing more until they are done with what they were asked for.

    One that never is, is asked again after `at_most_seconds`, and after twice as long every further time: nobody can
    tell one that hangs from one that was started again unnoticed.
    """

    def __init__(self, *, at_most_seconds: float, now_seconds: Callable[[], float]) -> None:
        self._at_most_seconds = at_most_seconds
        self._now_seconds = now_seconds
        self._until_seconds: dict[int, float] = {}
        self._times: Counter[int] = Counter()

    def enter(self, node: int) -> float:
        """Note that a node owes an answer; return for how many seconds that counts at most."""
        if not self.owes(node):
            self._until_seconds[node] = self._now_seconds() + self._at_most_seconds * 2 ** self._times[node]
            self._times[node] += 1
        return self._until_seconds[node] - self._now_seconds()

    def settle(self, node: int) -> bool:
        """Note that a node has answered; tell whether it was awaited."""
        self._times.pop(node, None)
        return self._until_seconds.pop(node, None) is not None

    def owes(self, node: int) -> bool:
        """Tell whether a node is not to be asked now."""
        return self._now_seconds() < self._until_seconds.get(node, 0.0)


_POLL_SECONDS = 1.0
_SAY_EVERY_SECONDS = 15.0
_QUERY_SECONDS = 3600.0  # then it is asked anew: a query is lost with the node that was at it


class Roster:
    """Asks every node that turns up which partition it holds, and goes on meanwhile.

    A node that was away is asked again: it may have come back with another configuration. Of two nodes with one
    partition the later counts: it is the other one, started again. One whose order was given up is left out until it is
    done with it, and so is one that splits the experiment's data otherwise than the others: it would train on what they
    hold, too. How it is split the first node says, or one that splits it into the `parts` that are expected. `tell` is
    told of nodes that come, of those that cannot say what they hold, and of who is left out.
    """

    def __init__(self, grid: Grid, *, debts: Debts, tell: Callable[[str], None], parts: int) -> None:
        self._grid = grid
        self._debts = debts
        self._tell = tell
        self._expected_parts = parts
        self._parts: int | None = None  # of the run, once a node has said
        self._parts_of: dict[int, int | None] = {}
        self._queries: dict[str, int] = {}  # the node each was sent to, by message id
        self._last: dict[int, str] = {}  # the last query of each node
        self._asked: set[int] = set()
        self._holders: dict[int, int] = {}  # the latest node of each partition
        self._partitions: dict[int, int] = {}
        self._boards: dict[int, str] = {}

    @property
    def partitions(self) -> Mapping[int, int]:
        """The partition of every node that was ever there."""
        return self._partitions

    @property
    def boards(self) -> Mapping[int, str]:
        """What the node of each partition says it runs on."""
        return self._boards

    def parts_of(self, partition_id: int) -> int | None:
        """Return into how many parts the node of a partition splits the experiment's data, None if it has its own."""
        node = self._holders.get(partition_id)
        return None if node is None else self._parts_of.get(node)

    def there(self) -> list[int]:
        """Return the nodes that are there now, one a partition; ask those that are new, but wait for no answer."""
        listed = set(self._grid.get_node_ids())
        self._asked &= listed
        self._ask(sorted(listed - self._asked))
        return [node for node in self._holders.values() if node in listed]

    def wait(self, count: int, *, at_most_seconds: float) -> list[int]:
        """Wait until so many nodes are there and free, saying so now and then; return those there are in the end.

        Where they are still too few, those that owe an answer are among them: a run does not end for want of them.
        """
        elapsed = stopwatch()
        say_at_seconds = 0.0
        while len(free := self._free(there := self.there())) < count and elapsed() < at_most_seconds:
            if elapsed() >= say_at_seconds:
                left = human_seconds(at_most_seconds - elapsed())
                self._tell(f"waiting for {count} nodes: {len(free)} are there{_busy(there, free)}, {left} left")
                say_at_seconds = elapsed() + _SAY_EVERY_SECONDS
            pause(_POLL_SECONDS)
        return free if len(free) >= count else there

    def give_up(self, nodes: Iterable[int]) -> None:
        """Leave out nodes whose orders were given up, until they are done with them.

        What shows it is the answer to a query: a SuperNode works on one message after the other. What it still answers
        to the order itself need not be waited for, and is refused where the order has expired.
        """
        owing = sorted(set(nodes))
        for node in owing:
            left = human_seconds(self._debts.enter(node))
            self._tell(
                f"client {self._partitions.get(node)} is left out until it is done with that, for {left} at most"
            )
        self._ask(owing)

    def _free(self, nodes: list[int]) -> list[int]:
        return [node for node in nodes if not self._debts.owes(node)]

    def _ask(self, nodes: list[int]) -> None:
        if nodes:
            ids = self._grid.push_messages([_query(node) for node in nodes])
            asked = {message_id: node for message_id, node in zip(ids, nodes, strict=True) if message_id is not None}
            self._queries |= asked
            self._last |= {node: message_id for message_id, node in asked.items()}
            self._asked |= set(asked.values())
        if self._queries:
            for reply in list(self._grid.pull_messages(list(self._queries))):
                self._enter(self._queries.pop(reply.metadata.reply_to_message_id), reply)

    def _enter(self, node: int, reply: Message) -> None:
        if reply.has_error():
            if reply.error.code == MESSAGE_EXPIRED:
                self._asked.discard(node)
            else:
                self._tell(f"node {node} is left out: {reply.error.reason}")
            return
        try:
            partition_id, board, parts = read_query_reply(reply), read_board(reply), read_parts(reply)
        except Exception as error:  # whatever a node sends must not end the run
            self._tell(f"node {node} is left out: its answer cannot be read: {type(error).__name__}: {error}")
            return
        if not self._agrees(node, partition_id, parts):
            return
        if self._partitions.get(node) != partition_id:
            self._tell(f"node {node} holds partition {partition_id}" + (f", on {board}" if board else ""))
        behind_all = reply.metadata.reply_to_message_id == self._last[node]
        if behind_all and self._debts.settle(node):
            self._tell(f"client {partition_id} is done with what was given up, and takes part again")
        self._partitions[node] = partition_id
        self._holders[partition_id] = node
        self._boards[partition_id] = board

    def _agrees(self, node: int, partition_id: int, parts: int | None) -> bool:
        """Tell whether a node splits the data as the run does; those that do not are left out."""
        self._parts_of[node] = parts
        if parts in (None, self._parts):
            return True
        if self._parts is None or parts == self._expected_parts:
            self._parts = parts
            for held, other in list(self._holders.items()):
                if self._parts_of[other] not in (None, parts):
                    self._leave_out(other, held)
            return True
        self._leave_out(node, partition_id)
        return False

    def _leave_out(self, node: int, partition_id: int) -> None:
        self._holders = {held: holder for held, holder in self._holders.items() if holder != node}
        what = f"it holds partition {partition_id} of {self._parts_of[node]}"
        self._tell(f"node {node} is left out: {what}, and others split the data into {self._parts}")


def _query(node: int) -> Message:
    message = query_message(node)
    message.metadata.ttl = _QUERY_SECONDS
    return message


def _busy(there: list[int], free: list[int]) -> str:
    return f" and {len(there) - len(free)} at work on orders that were given up" if len(there) > len(free) else ""
