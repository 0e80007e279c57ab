"""Which nodes there are, and which partition each holds."""

from collections.abc import Callable, Mapping

from flwr.app import Message
from flwr.serverapp import Grid

from fedlab.clock import pause, stopwatch
from fedlab.messages import query_message, read_board, read_parts, read_query_reply
from fedlab.units import human_seconds

_POLL_SECONDS = 1.0
_SAY_EVERY_SECONDS = 15.0


class Roster:
    """Asks every node that turns up which partition it holds, and goes on meanwhile.

    A node that was away is asked again: it may have come back with another configuration. Of two nodes with one
    partition the later counts: it is the other one, started again. A node that splits the experiment's data into more
    or fewer than `parts` is left out: it would train on what others hold, too. `tell` is told of nodes that come and of
    those that are left out.
    """

    def __init__(self, grid: Grid, *, tell: Callable[[str], None], parts: int) -> None:
        self._grid = grid
        self._tell = tell
        self._parts = parts
        self._queries: dict[str, int] = {}  # the node each was sent to, by message id
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

    def there(self) -> list[int]:
        """Return the nodes that are there now, one a partition; ask those that are new, but wait for no answer."""
        listed = set(self._grid.get_node_ids())
        self._asked &= listed
        self._ask(sorted(listed - self._asked))
        return [node for node in self._holders.values() if node in listed]

    def wait(self, count: int, *, at_most_seconds: float) -> list[int]:
        """Wait until so many nodes are there, saying so now and then; return those there are in the end."""
        elapsed = stopwatch()
        say_at_seconds = 0.0
        while len(there := self.there()) < count and elapsed() < at_most_seconds:
            if elapsed() >= say_at_seconds:
                left = human_seconds(at_most_seconds - elapsed())
                self._tell(f"waiting for {count} nodes: {len(there)} are there, {left} left")
                say_at_seconds = elapsed() + _SAY_EVERY_SECONDS
            pause(_POLL_SECONDS)
        return there

    def _ask(self, nodes: list[int]) -> None:
        if nodes:
            ids = self._grid.push_messages([query_message(node) for node in nodes])
            asked = {message_id: node for message_id, node in zip(ids, nodes, strict=True) if message_id is not None}
            self._queries |= asked
            self._asked |= set(asked.values())
        if self._queries:
            for reply in list(self._grid.pull_messages(list(self._queries))):
                self._enter(self._queries.pop(reply.metadata.reply_to_message_id), reply)

    def _enter(self, node: int, reply: Message) -> None:
        if reply.has_error():
            self._tell(f"node {node} is left out: {reply.error.reason}")
            return
        try:
            partition_id, board, parts = read_query_reply(reply), read_board(reply), read_parts(reply)
        except Exception as error:  # whatever a node sends must not end the run
            self._tell(f"node {node} is left out: its answer cannot be read: {type(error).__name__}: {error}")
            return
        if parts not in (None, self._parts):
            self._holders = {held: holder for held, holder in self._holders.items() if holder != node}
            reason = f"it holds partition {partition_id} of {parts}, and the run has nodes={self._parts}"
            self._tell(f"node {node} is left out: {reason}")
            return
        if self._partitions.get(node) != partition_id:
            self._tell(f"node {node} holds partition {partition_id}" + (f", on {board}" if board else ""))
        self._partitions[node] = partition_id
        self._holders[partition_id] = node
        self._boards[partition_id] = board
