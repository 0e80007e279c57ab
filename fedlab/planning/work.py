"""What a planned client would do when it is asked to train."""

import math
from dataclasses import dataclass
from typing import Literal

from fedlab.adapterconfig import AdapterConfig
from fedlab.workload import Workload


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """How the clients of an experiment train, as far as it costs anything.

    With `caches`, the first epoch at a new depth runs every block and later batches start from what was stored.
    """

    batch_size: int
    epochs: int
    max_batches: int | None
    caches: bool
    sequence_length: int

    def workload(
        self,
        method: Literal["adapter", "freeze", "full"],
        config: AdapterConfig,
        num_examples: int,
        *,
        cache_filled: bool,
    ) -> Workload:
        """Return what a client with so many examples does in a round."""
        an_epoch = math.ceil(num_examples / self.batch_size)
        batches = min(self.epochs * an_epoch, self.max_batches or math.inf)
        filling = 0 if cache_filled else an_epoch
        cached = max(0, batches - filling) if method == "adapter" and self.caches else 0
        return Workload(
            method=method,
            depth=config.depth,
            width=config.width,
            batches=int(batches),
            cached_batches=int(cached),
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            num_examples=num_examples,
        )

    def evaluation(self, config: AdapterConfig, num_examples: int) -> Workload:
        """Return what a client does to evaluate a model."""
        return Workload(
            method="evaluate",
            depth=config.depth,
            width=config.width,
            batches=math.ceil(num_examples / self.batch_size),
            cached_batches=0,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            num_examples=num_examples,
        )
