"""The node registry: the nodes that have joined, and the partition that each holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.common.clock import pause, stopwatch
from fedlab.common.units import human_seconds
from fedlab.messages.flower_private import MESSAGE_EXPIRED
from fedlab.messages.orders import query_message
from fedlab.messages.replies import read_board, read_parts, read_query_reply


class UnansweredOrders:
    """Nodes with an abandoned order that they have not finished; they get no new orders.

    A node that never finishes gets orders again after `at_most_seconds`, and the wait doubles each further time,
    because a node that hangs looks the same as one that was restarted.
    """

    def __init__(self, *, at_most_seconds: float, now_seconds: Callable[[], float]) -> None:
        self._at_most_seconds = at_most_seconds
        self._now_seconds = now_seconds
        self._until_seconds: dict[int, float] = {}
        self._times: Counter[int] = Counter()

    def enter(self, node: int) -> float:
        """Enter a node; return for how many seconds at most it gets no orders."""
        if not self.owes(node):
            self._until_seconds[node] = self._now_seconds() + self._at_most_seconds * 2 ** self._times[node]
            self._times[node] += 1
        return self._until_seconds[node] - self._now_seconds()

    def settle(self, node: int) -> bool:
        """Remove a node that has answered; tell whether it was entered."""
        self._times.pop(node, None)
        return self._until_seconds.pop(node, None) is not None

    def owes(self, node: int) -> bool:
        """Tell whether a node gets no orders now."""
        return self._now_seconds() < self._until_seconds.get(node, 0.0)


_POLL_SECONDS = 1.0
_SAY_EVERY_SECONDS = 15.0
_QUERY_SECONDS = 3600.0  # then the query is repeated: it is lost if its node dies


class NodeRegistry:
    """Asks every node that joins for its partition, without blocking.

    A node that was away is asked again, because it may have a new configuration. If two nodes hold the same partition,
    the later one counts: it is a restart of the first. A node with an abandoned order is left out until it has finished
    it. A node that splits the experiment's data into another number of parts than the run is left out, too, because it
    would train on the data of others. The run's number of parts is that of the first node, or of a node that has the
    expected number, `parts`. `tell` receives messages about nodes that join, report no partition, or are left out.
    """

    def __init__(self, grid: Grid, *, unanswered: UnansweredOrders, tell: Callable[[str], None], parts: int) -> None:
        self._grid = grid
        self._unanswered = unanswered
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
        """The partition of every node that has ever joined."""
        return self._partitions

    @property
    def boards(self) -> Mapping[int, str]:
        """The board that the node of each partition reports."""
        return self._boards

    def parts_of(self, partition_id: int) -> int | None:
        """Return how many parts a partition's node splits the experiment's data into, None if it has its own data."""
        node = self._holders.get(partition_id)
        return None if node is None else self._parts_of.get(node)

    def available(self) -> list[int]:
        """Return the nodes available now, one for each partition; new nodes are asked, without waiting for answers."""
        listed = set(self._grid.get_node_ids())
        self._asked &= listed
        self._ask(sorted(listed - self._asked))
        return [node for node in self._holders.values() if node in listed]

    def wait(self, count: int, *, at_most_seconds: float) -> list[int]:
        """Wait until `count` nodes are available and free, with a message now and then; return those available.

        If too few are free after the wait, nodes with abandoned orders are included, so that the run can continue.
        """
        elapsed = stopwatch()
        say_at_seconds = 0.0
        while len(free := self._free(there := self.available())) < count and elapsed() < at_most_seconds:
            if elapsed() >= say_at_seconds:
                left = human_seconds(at_most_seconds - elapsed())
                self._tell(f"waiting for {count} nodes: {len(free)} available{_busy(there, free)}, {left} left")
                say_at_seconds = elapsed() + _SAY_EVERY_SECONDS
            pause(_POLL_SECONDS)
        return free if len(free) >= count else there

    def give_up(self, nodes: Iterable[int]) -> None:
        """Leave out nodes with abandoned orders until they have finished them.

        The answer to a new query shows that a node has finished, because a SuperNode handles one message after another.
        A reply to the abandoned order itself is not awaited, and is refused if the order has expired.
        """
        owing = sorted(set(nodes))
        for node in owing:
            left = human_seconds(self._unanswered.enter(node))
            self._tell(
                f"client {self._partitions.get(node)} is left out until it has finished that order, for at most {left}"
            )
        self._ask(owing)

    def _free(self, nodes: list[int]) -> list[int]:
        return [node for node in nodes if not self._unanswered.owes(node)]

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
        answers_latest = reply.metadata.reply_to_message_id == self._last[node]
        if answers_latest and self._unanswered.settle(node):
            self._tell(f"client {partition_id} has finished its abandoned order, and takes part again")
        self._partitions[node] = partition_id
        self._holders[partition_id] = node
        self._boards[partition_id] = board

    def _agrees(self, node: int, partition_id: int, parts: int | None) -> bool:
        """Tell whether a node splits the data as the run does; nodes that do not are left out."""
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
        self._tell(f"node {node} is left out: {what}, but the other nodes split the data into {self._parts}")


def _query(node: int) -> Message:
    message = query_message(node)
    message.metadata.ttl = _QUERY_SECONDS
    return message


def _busy(there: list[int], free: list[int]) -> str:
    return f" and {len(there) - len(free)} at work on abandoned orders" if len(there) > len(free) else ""
