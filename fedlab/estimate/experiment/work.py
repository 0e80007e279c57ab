"""What a planned client would do when it is asked to train."""

from dataclasses import dataclass
from typing import Literal

from fedlab.models.peft.base import TrainableSet, depth_and_width
from fedlab.training.device_cache import ActivationCache, epoch_batches, filling
from fedlab.workload.passes import WHOLE, Format, bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """How the clients of an experiment train, as far as it costs anything.

    With `cached_depths` above 0 the first epoch runs every block and later batches start from what was stored, at so
    many depths. `model_blocks` is how many blocks the encoder has.
    """

    batch_size: int
    epochs: int
    max_batches: int | None
    cached_depths: int
    sequence_length: int
    model_blocks: int
    checkpointing: bool = False
    scored_tokens: int | None = None  # as in `Pass`
    format: Format = "fp32"

    def workload(
        self,
        method: Literal["adapter", "freeze", "full"],
        trained: TrainableSet,
        num_examples: int,
        cache: ActivationCache | None,
    ) -> tuple[Workload, ActivationCache | None]:
        """Return what a client with these examples and this cache does in a round, and its cache afterwards."""
        depth, size = depth_and_width(trained, self.model_blocks)
        an_epoch = epoch_batches(num_examples, self.batch_size)
        batches = min(self.epochs * an_epoch, self.max_batches or self.epochs * an_epoch)
        uncached = batches
        if method == "adapter" and self.cached_depths:
            uncached, cache = filling(
                cache, depth=depth, depths=self.cached_depths, batches=batches, epoch_batches=an_epoch
            )
        passes = training_passes(
            batches=batches,
            checkpointing=self.checkpointing,
            scored_tokens=self.scored_tokens,
            format=self.format,
            cached_batches=batches - uncached,
            batch_size=self.batch_size,
            input_shape=(self.sequence_length,),
            model_blocks=self.model_blocks,
            depth=depth,
            trained=WHOLE if method != "adapter" else trained.spec if depth else bottleneck(size),
        )
        return Workload(passes=passes, num_examples=num_examples), cache

    def prefill(self, depth: int, num_examples: int) -> tuple[Workload, ActivationCache]:
        """Return what a client does to fill its cache, and the cache."""
        work = self.evaluation(num_examples)
        return work, ActivationCache(depth=depth, filled_batches=work.batches)

    def evaluation(self, num_examples: int) -> Workload:
        """Return what a client does to evaluate a model: it runs its examples through all blocks once."""
        passes = forward_passes(
            batches=epoch_batches(num_examples, self.batch_size),
            batch_size=self.batch_size,
            input_shape=(self.sequence_length,),
            model_blocks=self.model_blocks,
            scored_tokens=self.scored_tokens,
            format=self.format,
        )
        return Workload(passes=passes, num_examples=num_examples)
