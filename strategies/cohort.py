"""Which clients take part in a round, how long the server waits for them, and which updates it accepts."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import get_args

from fedlab.common.seeds import generator
from fedlab.messages.round_terms import Late, RoundTerms


@dataclass(frozen=True, kw_only=True)
class CohortRules:
    """How the server treats clients that are slow, drop out or send unusable updates.

    Of `clients_per_round` times `over_selection` clients asked, the first `clients_per_round` to finish count. A round
    is over at `deadline_seconds` at the latest. Work that comes later is lost (`late = "drop"`), or averaged into the
    next round of the same configuration after it has come (`"carry"`). With fewer than `min_replies` usable updates
    the round fails and the model stays. An update further than `max_update_norm` (Euclidean, over all arrays) from
    what was sent is turned away; without it the server's own limit holds, which only a deployed run has.

    Raises ValueError for a setting that cannot be.
    """

    clients_per_round: int = 15
    over_selection: float = 1.0
    deadline_seconds: float | None = None
    late: Late = "drop"
    min_replies: int = 1
    max_update_norm: float | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
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
        """How many clients are asked in a round."""
        return math.ceil(self.clients_per_round * self.over_selection * (1 - 1e-12))  # 10 x 1.1 is 11

    def terms(self, wanted: int) -> RoundTerms:
        """Return the terms of a round in which so many clients are wanted."""
        wait_for = wanted if self.over_selection > 1 else None
        return RoundTerms(deadline_seconds=self.deadline_seconds, wait_for=wait_for, late=self.late)


def draw_cohort(
    nodes: Sequence[int], *, size: int, seed: int, server_round: int, busy: Collection[int] = ()
) -> list[int]:
    """Draw `size` nodes without replacement, or all there are, keyed by (seed, round).

    The nodes are in the order of their partitions, as a timed grid gives them: the draw is one over partitions. Those
    that are `busy` are left out, unless all are.
    """
    free = [node for node in nodes if node not in busy] if busy else nodes
    free = free or nodes
    picked = generator(seed, "cohort", server_round).choice(len(free), min(size, len(free)), replace=False)
    return [free[index] for index in picked]
