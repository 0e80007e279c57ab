"""Which clients go to an actor together: those that were sent the same, of like size, in small even packs."""

import itertools
from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from flwr.app import Context, Message

Item = TypeVar("Item")


@runtime_checkable
class TrainsTogether(Protocol):
    """A ClientApp that can train several clients side by side, from orders that hold the same."""

    def train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Return the reply of each client; or raise, and each is asked alone."""


def even_packs(items: Sequence[Item], most: int) -> list[list[Item]]:
    """Cut a sequence into as few packs of at most `most` as will do, whose sizes differ by one at most."""
    count = max(1, -(-len(items) // most))
    bounds = [len(items) * pack // count for pack in range(count + 1)]
    return [list(items[start:stop]) for start, stop in itertools.pairwise(bounds) if start < stop]


def pack_messages(messages: Sequence[Message], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Return the places of the messages that go together, the packs with most work first.

    `sizes` are the clients' numbers of examples. Packs depend on the messages alone and not on who will serve them,
    so results do not either. Clients of like size go together, for they finish together.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for place, message in enumerate(messages):
        groups.setdefault((id(message.content), message.metadata.message_type), []).append(place)
    packs = [
        pack
        for places in groups.values()
        for pack in even_packs(sorted(places, key=lambda place: (-sizes[place], place)), most)
    ]
    return sorted(packs, key=lambda pack: (-_work(messages[pack[0]], [sizes[place] for place in pack]), pack))


def _work(message: Message, sizes: Sequence[int]) -> int:
    """Return a figure that grows with the work: examples, times arrays to train, of which deeper models have more."""
    return sum(sizes) * sum(len(record) for record in message.content.array_records.values())
