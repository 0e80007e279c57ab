"""What a node is told of itself: the only place that knows the keys of a node's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fedlab.errors import UserError

Value = bool | int | float | str  # what Flower's mapping can hold


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """The configuration of a node; in Flower's mapping its keys are these names with hyphens.

    A node trains on partition `partition_id` of the `num_partitions` that the experiment's data are split into, or on
    the data of its own at `data_path`. It keeps what it prepares below `state_path`; its SuperNode notes the traffic at
    `journal_path`. `board` is the name of its device profile. What a node does not say is None or empty.
    """

    partition_id: int | None = None
    num_partitions: int | None = None
    data_path: str = ""
    state_path: str = ""
    journal_path: str = ""
    board: str = ""

    @property
    def partition(self) -> int:
        """The partition the node holds; raises UserError if it does not say."""
        if self.partition_id is None:
            raise UserError("node config partition-id = None: expected a whole number from 0 up")
        return self.partition_id

    @property
    def owns_data(self) -> bool:
        """Whether the node trains on data of its own."""
        return bool(self.data_path)

    @property
    def parts(self) -> int | None:
        """The number of parts the node splits the experiment's data into; None if it splits none or does not say."""
        return None if self.owns_data else self.num_partitions

    @property
    def clients(self) -> int:
        """The number of clients that the data the node reads are split over."""
        return self.parts or 1

    def mapping(self) -> dict[str, Value]:
        """Return the configuration as Flower holds it, without what is not said."""
        return {_key(name): value for name, value in vars(self).items() if value not in (None, "")}


def read_node_config(mapping: Mapping[str, Any]) -> NodeConfig:
    """Read a configuration from Flower's mapping; keys of others are ignored.

    Raises:
        UserError: a partition is not a whole number from 0 up.
    """
    names = [field.name for field in fields(NodeConfig) if mapping.get(_key(field.name)) is not None]
    return NodeConfig(**{name: _read(name, mapping[_key(name)]) for name in names})


def check_node(config: NodeConfig) -> None:
    """Refuse a configuration that a client cannot work with.

    Raises:
        UserError: the partition or their number is missing, or the partition is not among them.
    """
    held = config.partition
    if config.owns_data:
        return
    parts = config.num_partitions
    if parts is None:
        raise UserError("node config num-partitions = None: expected a whole number from 0 up")
    if held >= parts:
        raise UserError(f"node config partition-id = {held}: of num-partitions = {parts} the last is {parts - 1}")


def _read(name: str, value: object) -> Any:
    if name not in ("partition_id", "num_partitions"):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"node config {_key(name)} = {value!r}: expected a whole number from 0 up")
    return value


def _key(name: str) -> str:
    return name.replace("_", "-")
