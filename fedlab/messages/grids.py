"""What grids of ours have in common: those that stand around another, and those that answer what is pushed at once."""

from collections.abc import Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid


class GridAround(Grid):
    """A grid that passes on to another what it does nothing about."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: object) -> None:
        """Pass on."""
        self._grid.set_run(run)  # type: ignore[arg-type]

    @property
    def run(self) -> Any:
        """Pass on."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Pass on."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Pass on."""
        return self._grid.get_node_ids()


class AnsweringGrid(Grid):
    """A grid without a SuperLink, of one run, that has every message answered when it is pushed.

    `kind` says what kind of run it is. Who inherits puts the replies into `_replies`, by the id of what they answer.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._replies: dict[str, Message] = {}

    def set_run(self, run: object) -> None:
        """Do nothing: there is one run."""

    @property
    def run(self) -> Any:
        """Refuse: there is no SuperLink to describe the run."""
        raise NotImplementedError(f"a {self._kind} run has no description on a SuperLink")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a new message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Hand over the replies to these messages."""
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Have every message answered and return the replies."""
        return self.pull_messages(self.push_messages(messages))
