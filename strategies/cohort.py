"""The cohort of a round: which clients are asked, how long the server waits, and which updates it accepts."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import get_args

from fedlab.common.seeds import generator
from fedlab.messages.round_terms import Late, RoundTerms


@dataclass(frozen=True, kw_only=True)
class CohortRules:
    """How the server handles clients that are slow, drop out or send unusable updates.

    `clients_per_round` times `over_selection` clients are asked, and the first `clients_per_round` to finish count. A
    round ends at `deadline_seconds` at the latest. Later updates are lost (`late = "drop"`), or aggregated into the
    next round of the same configuration after their arrival (`"carry"`). With fewer than `min_replies` usable updates
    the round fails and the model is unchanged. An update whose distance from the sent model (Euclidean, over all
    arrays) is above `max_update_norm` is refused; without this option the server's own limit holds, which only deployed
    runs have.

    Raises ValueError for an invalid setting.
    """

    clients_per_round: int = 15
    over_selection: float = 1.0
    deadline_seconds: float | None = None
    late: Late = "drop"
    min_replies: int = 1
    max_update_norm: float | None = None

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name in ("clients_per_round", "deadline_seconds", "min_replies", "max_update_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: {value} is not positive")
        if not 1 <= self.over_selection < math.inf:
            raise ValueError(f"over_selection: {self.over_selection}, expected a factor from 1 up")
        if self.late not in get_args(Late):
            raise ValueError(f"late: {self.late!r}, expected one of {', '.join(get_args(Late))}")
        if self.min_replies > self.clients_per_round:
            raise ValueError(f"min_replies: {self.min_replies}, but clients_per_round is {self.clients_per_round}")

    @property
    def asked(self) -> int:
        """The number of clients that are asked in a round."""
        return math.ceil(self.clients_per_round * self.over_selection * (1 - 1e-12))  # 10 x 1.1 is 11

    def terms(self, wanted: int) -> RoundTerms:
        """Return the terms of a round that waits for `wanted` clients."""
        wait_for = wanted if self.over_selection > 1 else None
        return RoundTerms(deadline_seconds=self.deadline_seconds, wait_for=wait_for, late=self.late)


def draw_cohort(
    nodes: Sequence[int], *, size: int, seed: int, server_round: int, busy: Collection[int] = ()
) -> list[int]:
    """Draw `size` nodes without replacement, or all if there are fewer, keyed by (seed, round).

    The nodes are in the order of their partitions, as a timed grid lists them, so the draw is over partitions. `busy`
    nodes are left out, unless all are busy.
    """
    free = [node for node in nodes if node not in busy] if busy else nodes
    free = free or nodes
    picked = generator(seed, "cohort", server_round).choice(len(free), min(size, len(free)), replace=False)
    return [free[index] for index in picked]
