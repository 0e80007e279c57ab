"""Clients that can be trained side by side."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from flwr.app import Context, Message


@runtime_checkable
class TrainsTogether(Protocol):
    """A ClientApp that can train several clients side by side, from orders that hold the same."""

    def train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Return the reply of each client; or raise, and each is asked alone."""
