"""What a planned client would do when it is asked to train."""

from dataclasses import dataclass
from typing import Literal

from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.training.device_cache import ActivationCache, epoch_batches, filling
from fedlab.workload.workload import Workload


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """How the clients of an experiment train, as far as it costs anything.

    With `cached_depths` above 0 the first epoch runs every block and later batches start from what was stored, at so
    many depths.
    """

    batch_size: int
    epochs: int
    max_batches: int | None
    cached_depths: int
    sequence_length: int

    def workload(
        self,
        method: Literal["adapter", "freeze", "full"],
        config: Bottleneck,
        num_examples: int,
        cache: ActivationCache | None,
    ) -> tuple[Workload, ActivationCache | None]:
        """Return what a client with so many examples and such a cache does in a round, and its cache afterwards."""
        an_epoch = epoch_batches(num_examples, self.batch_size)
        batches = min(self.epochs * an_epoch, self.max_batches or self.epochs * an_epoch)
        uncached = batches
        if method == "adapter" and self.cached_depths:
            uncached, cache = filling(
                cache, depth=config.depth, depths=self.cached_depths, batches=batches, epoch_batches=an_epoch
            )
        work = Workload(
            method=method,
            depth=config.depth,
            width=config.width,
            batches=batches,
            cached_batches=batches - uncached,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            num_examples=num_examples,
        )
        return work, cache

    def prefill(self, depth: int, num_examples: int) -> tuple[Workload, ActivationCache]:
        """Return what a client does to fill its cache, and the cache."""
        work = self._forward("prefill", Bottleneck(depth=depth, width=1), num_examples)
        return work, ActivationCache(depth=depth, filled_batches=work.batches)

    def evaluation(self, config: Bottleneck, num_examples: int) -> Workload:
        """Return what a client does to evaluate a model."""
        return self._forward("evaluate", config, num_examples)

    def _forward(self, method: Literal["evaluate", "prefill"], config: Bottleneck, num_examples: int) -> Workload:
        return Workload(
            method=method,
            depth=config.depth,
            width=config.width,
            batches=epoch_batches(num_examples, self.batch_size),
            cached_batches=0,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            num_examples=num_examples,
        )
