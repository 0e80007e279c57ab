"""What a node's configuration says: the partition it holds, or its own data."""

from collections.abc import Mapping
from typing import Any

from fedlab.errors import UserError


def check_node(node_config: Mapping[str, Any]) -> None:
    """Refuse a configuration that a client cannot work with.

    Raises:
        UserError: it has no partition, or one that is not among those there are.
    """
    needed = ("partition-id",) if owns_data(node_config) else ("partition-id", "num-partitions")
    for key in needed:
        value = node_config.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UserError(f"node config {key} = {value!r}: expected a whole number from 0 up")
    if not owns_data(node_config) and node_config["partition-id"] >= node_config["num-partitions"]:
        held, parts = node_config["partition-id"], node_config["num-partitions"]
        raise UserError(f"node config partition-id = {held}: of num-partitions = {parts} the last is {parts - 1}")


def owns_data(node_config: Mapping[str, Any]) -> bool:
    """Tell whether a node trains on data of its own, and not on a partition of the experiment's."""
    return bool(node_config.get("data-path"))


def parts_of(node_config: Mapping[str, Any]) -> int | None:
    """Return into how many parts a node splits the experiment's data, None if it has its own or does not say."""
    parts: int | None = None if owns_data(node_config) else node_config.get("num-partitions")
    return parts


def clients_of(node_config: Mapping[str, Any]) -> int:
    """Return over how many clients a node splits the experiment's data; one with its own splits nothing."""
    return 1 if owns_data(node_config) else int(node_config["num-partitions"])
