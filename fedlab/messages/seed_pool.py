"""What an order says where all directions come from a pool of seeds (FedKSeed): how far the model has gone along each.

The record `pool` of an order to train has the `distribution` of the directions and `walked`, one float32 for each seed
of the pool. With the first model, which a client keeps, it makes the model of the order; a client that joins late is
sent the same as one that was there all the time. A reply says how far the client has gone, as an update of the kind
`scalars`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict

from fedlab.common.seeds import seed_for
from fedlab.errors import UserError
from fedlab.gradients.directions import DISTRIBUTIONS, Distribution
from fedlab.gradients.sums import Probed, weighted_sum
from fedlab.messages.pack import config_of

_KEY = "pool"
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolOrder:
    """A model as a way from the first one: `walked` [K], float32, along the K directions of the pool."""

    walked: np.ndarray
    distribution: Distribution = "gaussian"

    def seeds(self, seed: int) -> list[int]:
        """Return the seeds of the pool, by the seed of the experiment."""
        return pool_seeds(seed, len(self.walked))

    def model(self, start: np.ndarray, seed: int) -> np.ndarray:
        """Return the model [P] that this is from the first one: float32.

        It is made from the whole way at once, so that it has the same bits for all who make it.
        """
        gone = [
            Probed(seed=each, derivative=float(step))
            for each, step in zip(self.seeds(seed), self.walked, strict=True)
            if step
        ]
        moved = start + weighted_sum(gone, len(start), self.distribution)
        return np.asarray(moved, np.float32)


def pool_seeds(seed: int, count: int) -> list[int]:
    """Return the first seeds of an experiment's pool."""
    return [seed_for(seed, "seed-pool", number) for number in range(count)]


def add_pool(content: RecordDict, order: PoolOrder) -> None:
    """Write on an order how far the model has gone along the directions of the pool."""
    walked = order.walked.astype(_FLOAT).tobytes()
    content[_KEY] = ConfigRecord({"distribution": order.distribution, "walked": walked})


def read_pool(message: Message) -> PoolOrder | None:
    """Return how far the model of an order has gone, None if it does not say; raises UserError if it is unreadable."""
    record = config_of(message.content, _KEY)
    if not record:
        return None
    distribution, walked = record.get("distribution"), record.get("walked")
    if (
        distribution not in DISTRIBUTIONS
        or not isinstance(walked, bytes)
        or not walked
        or len(walked) % _FLOAT.itemsize
    ):
        raise UserError("the order's pool of seeds cannot be read: expected a distribution and float32 values")
    values = np.frombuffer(walked, _FLOAT)
    if not np.isfinite(values).all():
        raise UserError("the order's pool of seeds has values that are not finite")
    return PoolOrder(walked=values, distribution=distribution)  # type: ignore[arg-type]


def sums_by_seed(numbers: Sequence[int] | np.ndarray, steps: Sequence[float], count: int) -> np.ndarray:
    """Return how far steps along directions of a pool of `count` lead along each: float32 [K]."""
    sums = np.zeros(count)
    np.add.at(sums, np.asarray(numbers, np.int64), np.asarray(steps))
    return sums.astype(np.float32)
