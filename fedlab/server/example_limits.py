"""How many examples a client can have trained on: what it claims beyond that would be a lie in an average."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Sizes = Callable[[int], int | None]  # the examples of a partition, None where they are not known


class ExampleLimits(Protocol):
    """The most examples that a node can claim to have trained or evaluated on."""

    def limit(self, node_id: int, purpose: str) -> int | None:
        """Return the most examples of a node, None if nothing is known; the purpose is `train` or `evaluate`."""

    def accepted(self, node_id: int, purpose: str, num_examples: float) -> None:
        """Note what an accepted reply says."""


def unknown_sizes(partition_id: int) -> None:
    """Know the size of no partition."""


class PartitionSizes:
    """Limits of a simulation, which has dealt out the partitions itself."""

    def __init__(self, sizes: Sizes, partitions: Mapping[int, int]) -> None:
        self._sizes = sizes
        self._partitions = partitions

    def limit(self, node_id: int, purpose: str) -> int | None:
        """Return the size of the partition that a node holds."""
        return self._sizes(self._partitions[node_id])

    def accepted(self, node_id: int, purpose: str, num_examples: float) -> None:
        """Note nothing: the size is known."""


class FirstAnswers:
    """Limits of a deployed run: a node has as many examples as its first accepted reply says.

    `bounds` returns what a partition can have at most, None where a node brings data of its own: the first answer of
    such a node is believed. A node that is started again with another partition answers for the first time.
    """

    def __init__(self, bounds: Sizes, partitions: Mapping[int, int]) -> None:
        self._bounds = bounds
        self._partitions = partitions
        self._first: dict[tuple[int, int, str], int] = {}

    def limit(self, node_id: int, purpose: str) -> int | None:
        """Return what a node said first, until then the bound of its partition."""
        partition_id = self._partitions[node_id]
        return self._first.get((node_id, partition_id, purpose), self._bounds(partition_id))

    def accepted(self, node_id: int, purpose: str, num_examples: float) -> None:
        """Note what a node says first."""
        self._first.setdefault((node_id, self._partitions[node_id], purpose), int(num_examples))

    def state(self) -> dict[str, Any]:
        """Return the first answers."""
        return {"first": [[*key, count] for key, count in self._first.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._first = {(node, partition, purpose): count for node, partition, purpose, count in state["first"]}
