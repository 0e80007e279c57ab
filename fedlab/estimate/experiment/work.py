"""What a planned client would do when it is asked to train."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from fedlab.gradients.estimators import Differences
from fedlab.models.peft.base import ModelSizes, TrainableSet, depth_and_width
from fedlab.models.peft.set_calls import shapes_of
from fedlab.training.device_cache import ActivationCache, epoch_batches, filling
from fedlab.workload.passes import DEFAULT_PROCESSOR, WHOLE, Format, Pass, bottleneck
from fedlab.workload.workload import Workload, forward_passes, probing_passes, training_passes


@dataclass(frozen=True, kw_only=True)
class PlannedProbing:
    """How the clients of an experiment probe their losses: `probes` are those of a batch where an order names none.

    `sizes` are those of their model, which say how many values it has of a trained set.
    """

    differences: Differences
    sizes: ModelSizes
    probes: int = 1
    cached: bool = False
    processor: str = DEFAULT_PROCESSOR
    format: Format | None = None

    def values(self, trained: TrainableSet) -> int:
        """Return the number of values of a set."""
        return sum(math.prod(shape) for shape in shapes_of(trained, self.sizes).values())


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """How the clients of an experiment train, as far as it costs anything.

    With `cached_depths` above 0 the first epoch runs every block and later batches start from what was stored, at so
    many depths. `input_shape` is that of a text, in tokens, or of an image. `model_blocks` is how many blocks the
    encoder has. Training is in `trained_format`, if that is another than the `format` of evaluations.
    """

    batch_size: int
    epochs: int
    max_batches: int | None
    cached_depths: int
    input_shape: tuple[int, ...]
    model_blocks: int
    checkpointing: bool = False
    processor: str = DEFAULT_PROCESSOR
    scored_tokens: int | None = None  # as in `Pass`
    format: Format = "fp32"
    trained_format: Format | None = None
    probing: "PlannedProbing | None" = None

    def step(self, trained: TrainableSet, num_examples: int, probes: int) -> Workload:
        """Return what a client does for one step on one batch: it probes its loss, or runs a step of training."""
        held = min(num_examples, self.batch_size)
        if self.probing is not None:
            return Workload(passes=self._probing_passes(self.probing, trained, 1, probes), num_examples=held)
        return replace(
            replace(self, epochs=1, max_batches=1).workload("adapter", trained, num_examples, None)[0],
            num_examples=held,
        )

    def _probing_passes(
        self, probing: "PlannedProbing", trained: TrainableSet, batches: int, probes: int
    ) -> tuple[Pass, ...]:
        depth, _ = depth_and_width(trained, self.model_blocks)
        return probing_passes(
            batches=batches,
            passes=probing.differences.passes(probes or probing.probes),
            batch_size=self.batch_size,
            input_shape=self.input_shape,
            model_blocks=self.model_blocks,
            depth=depth,
            cached=probing.cached,
            format=probing.format or self.format,
            processor=probing.processor,
            scored_tokens=self.scored_tokens,
            held_values=probing.values(trained),
        )

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
        if self.probing is not None:
            passes = self._probing_passes(self.probing, trained, batches, self.probing.probes)
            return Workload(passes=passes, num_examples=num_examples), cache
        uncached = batches
        if method == "adapter" and self.cached_depths:
            uncached, cache = filling(
                cache, depth=depth, depths=self.cached_depths, batches=batches, epoch_batches=an_epoch
            )
        passes = training_passes(
            batches=batches,
            checkpointing=self.checkpointing,
            processor=self.processor,
            scored_tokens=self.scored_tokens,
            format=self.trained_format or self.format,
            cached_batches=batches - uncached,
            batch_size=self.batch_size,
            input_shape=self.input_shape,
            model_blocks=self.model_blocks,
            depth=depth,
            trained=WHOLE if method != "adapter" else trained.spec if depth else bottleneck(size),
        )
        return Workload(passes=passes, num_examples=num_examples), cache

    def prefill(self, depth: int, num_examples: int) -> tuple[Workload, ActivationCache]:
        """Return what a client does to fill its cache, and the cache."""
        work = self.evaluation(num_examples, self.processor)
        return work, ActivationCache(depth=depth, filled_batches=work.batches)

    def evaluation(self, num_examples: int, processor: str = DEFAULT_PROCESSOR) -> Workload:
        """Return what a client does to evaluate a model: it runs its examples through all blocks once."""
        passes = forward_passes(
            batches=epoch_batches(num_examples, self.batch_size),
            batch_size=self.batch_size,
            input_shape=self.input_shape,
            model_blocks=self.model_blocks,
            scored_tokens=self.scored_tokens,
            format=self.format,
            processor=processor,
        )
        return Workload(passes=passes, num_examples=num_examples)
