"""Which clients take part in a round."""

from collections.abc import Sequence

from fedlab.errors import UserError
from fedlab.seeds import generator


def draw_cohort(nodes: Sequence[int], *, size: int, seed: int, server_round: int) -> list[int]:
    """Draw `size` nodes without replacement, keyed by (seed, round).

    The nodes are in the order of their partitions, as a timed grid gives them: the draw is one over partitions.

    Raises:
        UserError: there are fewer nodes than that.
    """
    if size > len(nodes):
        raise UserError(f"strategy.options.clients_per_round: {size} clients a round, but there are {len(nodes)}")
    picked = generator(seed, "cohort", server_round).choice(len(nodes), size, replace=False)
    return [nodes[index] for index in picked]
