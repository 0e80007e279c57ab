"""The activation cache of a device, as its work is charged: what it holds, and what filling it takes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ActivationCache:
    """The states below the adapters of `depth`, of the texts of a number of batches.

    A pass up to these adapters comes by the states of deeper ones as well, so a device may keep those too: of `depths`
    depths in all, from `depth` on. Each takes 4 bytes x hidden size x tokens a text of its storage.
    """

    depth: int
    filled_batches: int = 0

    def serves(self, depth: int, *, depths: int) -> bool:
        """Tell whether states for adapters of this depth are kept."""
        return self.depth <= depth < self.depth + depths


def epoch_batches(num_examples: int, batch_size: int) -> int:
    """Return how many batches there are to fill the cache with."""
    return -(-num_examples // batch_size)


def filling(
    cache: ActivationCache | None, *, depth: int, depths: int, batches: int, epoch_batches: int
) -> tuple[int, ActivationCache]:
    """Return how many of a round's batches run every block, and the cache afterwards.

    A round of less than an epoch fills a part of the cache, and the next ones the rest: every batch counts as new
    until an epoch's have been run in full.
    """
    kept = cache if cache and cache.serves(depth, depths=depths) else ActivationCache(depth=depth)
    filled = min(batches, epoch_batches - kept.filled_batches)
    return filled, ActivationCache(depth=kept.depth, filled_batches=kept.filled_batches + filled)
