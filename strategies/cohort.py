"""Which clients take part in a round."""

from collections.abc import Iterable, Mapping

from fedlab.errors import UserError
from fedlab.seeds import generator


def draw_cohort(
    nodes: Iterable[int], partitions: Mapping[int, int], *, size: int, seed: int, server_round: int
) -> list[int]:
    """Draw `size` nodes without replacement, by a draw over partition ids keyed by (seed, round).

    Raises:
        UserError: there are fewer nodes than that.
    """
    ordered = sorted(nodes, key=partitions.__getitem__)
    if size > len(ordered):
        raise UserError(f"strategy.options.clients_per_round: {size} clients a round, but there are {len(ordered)}")
    picked = generator(seed, "cohort", server_round).choice(len(ordered), size, replace=False)
    return [ordered[index] for index in picked]
