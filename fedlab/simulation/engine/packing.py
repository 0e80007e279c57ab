"""Which clients go to an actor together: those that were sent the same, of like size, in small even packs."""

import itertools
from collections.abc import Sequence
from typing import Literal, TypeVar

from flwr.app import ArrayRecord, Message

from fedlab.messages.pack import records_of
from fedlab.workload.shape import AnyShape, ModelShape

Item = TypeVar("Item")

_PACKS = {"cpu": 4, "cuda": 32}  # a GPU needs more at once to be busy
# One client's texts keep a core busy in a decoder at least as wide: rounds of SmolLM2-135M at depth 30 take 70.6 s in
# packs of three clients and 67.9 s in packs of one, and two actors 3.3 GB and 1.7 GB (docs/results/index.md).
_WIDE_DECODER = 512
_CALLS = 32  # of a round at least, where clients are asked one after the other: no actor waits long for the last one
_LONE_PACK = 16  # clients of such a call at most: what a call itself costs is a small part of theirs by then
_PACK_BYTES = 2**26  # of the models of a pack, which lie in memory together and whose replies travel in one piece


def default_pack(device: Literal["cpu", "cuda"], shape: AnyShape) -> int:
    """Return how many clients are trained side by side at most, where an experiment does not say it."""
    wide = isinstance(shape, ModelShape) and shape.is_decoder and shape.hidden >= _WIDE_DECODER
    return 1 if wide and device == "cpu" else _PACKS[device]


def even_packs(items: Sequence[Item], most: int) -> list[list[Item]]:
    """Cut a sequence into as few packs of at most `most` as will do, whose sizes differ by one at most."""
    count = max(1, -(-len(items) // most))
    bounds = [len(items) * pack // count for pack in range(count + 1)]
    return [list(items[start:stop]) for start, stop in itertools.pairwise(bounds) if start < stop]


def lone_pack(messages: int) -> int:
    """Return how many of a round's messages go to an actor together, if their clients do not train together."""
    return max(1, min(_LONE_PACK, messages // _CALLS))


def idle_actors(*, packs: int, clients: int, workers: int, most: int) -> str | None:
    """Say that smaller packs would give more actors work, None if they would not, or there is little of it.

    Packs are not made smaller unasked: that would change results in their last digits from machine to machine.
    """
    could = min(workers, clients)
    if packs >= could or clients <= most:
        return None
    idle = f"{could - packs} of {workers} actors have no work in rounds of {clients} clients"
    return f"{idle}, which train in packs of {most}: engine.pack = {clients // could} would use them"


def pack_messages(messages: Sequence[Message], sizes: Sequence[int], most: int) -> list[list[int]]:
    """Return the places of the messages that go together, the packs with most work first.

    A pack has at most `most` messages, fewer where their models are large. `sizes` are the clients' numbers of
    examples. Packs depend on the messages alone and not on who will serve them, so results do not either. Clients of
    like size go together, for they finish together.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for place, message in enumerate(messages):
        groups.setdefault((id(message.content), message.metadata.message_type), []).append(place)
    packs = [
        pack
        for places in groups.values()
        for pack in even_packs(
            sorted(places, key=lambda place: (-sizes[place], place)), min(most, _most_of(messages[places[0]]))
        )
    ]
    return sorted(packs, key=lambda pack: (-_work(messages[pack[0]], [sizes[place] for place in pack]), pack))


def _most_of(message: Message) -> int:
    """Return how many models like a message's a pack may hold."""
    arrays = (array for record in records_of(message.content, ArrayRecord).values() for array in record.values())
    return max(1, _PACK_BYTES // max(1, sum(len(array.data) for array in arrays)))


def _work(message: Message, sizes: Sequence[int]) -> int:
    """Return a figure that grows with the work: examples, times arrays to train, of which deeper models have more."""
    return sum(sizes) * sum(len(record) for record in records_of(message.content, ArrayRecord).values())
