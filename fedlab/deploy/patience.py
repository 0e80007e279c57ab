"""How long a server waits for real nodes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how many nodes to wait and how long.

    A run starts with `nodes`, or after `wait_seconds` with those that have come, and goes on while `least_nodes` are
    there. One that has not answered an order within `reply_seconds` is given up for this round.
    """

    nodes: int = 1
    least_nodes: int = 1
    wait_seconds: float = 300.0
    reply_seconds: float = 3600.0
