"""A client that trains adapters, LoRA or biases, and the head, on its own partition, from stored frozen states."""

from collections.abc import Sequence
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets, TrainingClient
from clients.options import with_training_options
from clients.partition import batch_draws, examples_for, partition_of
from fedlab.common.spans import span
from fedlab.messages.clipping import clipped
from fedlab.messages.orders import configuration_of, read_order
from fedlab.messages.replies import TrainReport, prefill_reply, train_reply
from fedlab.models.peft.base import TrainableSet, depth_and_width
from fedlab.training.device_cache import ActivationCache, epoch_batches, filling
from fedlab.training.local import LocalTraining, TrainingResult
from fedlab.training.sgd_stacked import Trainee, train_together
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

_STATE = "activation-cache"


@with_training_options
def adapter(
    settings: LocalTraining,
    *,
    cache: bool = True,
    cached_depths: int = 1,
    sets: Sequence[str] = (),
    base_folder: str = ".",
) -> ClientApp:
    """Return the adapter client; see `fedlab.training.local.LocalTraining` for the other options.

    With `cache` the device keeps the activations of its frozen blocks (the activation cache of AdaFL): the first
    epoch at a new depth runs every block, later ones start at the lowest adapter. With `cached_depths` above 1 that
    epoch also stores the activations for deeper adapters, of this many depths in all: a search that goes deeper then
    need not fill the cache again. What is trained is what the order says: a built-in set, or one of `sets`, which are
    found from `base_folder`.
    """
    if cached_depths < 1:
        raise ValueError(f"cached_depths: {cached_depths}, expected 1 or more")
    accepted = AcceptedSets(trusted=sets, base=Path(base_folder))
    return AdapterClient(settings, accepted, cached_depths=cached_depths if cache else 0)


class AdapterClient(TrainingClient):
    """The ClientApp; its clients can be trained side by side (`fedlab.messages.trains_together.TrainsTogether`)."""

    split_kinds = frozenset({"features", "adapter", "partial_block"})
    trains = "adapters, pairs of low rank, biases and heads"

    def __init__(self, settings: LocalTraining, sets: AcceptedSets, *, cached_depths: int) -> None:
        super().__init__(settings, sets)
        self._cached_depths = cached_depths
        self.query("prefill")(self.prefill)

    def train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Train the clients of several orders that hold the same."""
        order = read_order(messages[0])
        workbench = open_workbench(contexts[0])
        trained = self._trained_set(order.configuration, workbench)
        partitions = [partition_of(context) for context in contexts]
        trainees = [
            Trainee(
                examples=examples_for(workbench, partition, trained),
                generator=batch_draws(workbench, order.server_round, partition),
            )
            for partition in partitions
        ]
        with span("train"):
            settings = self._settings.in_round(order.server_round)
            results = train_together(
                workbench.transformer, trainees, order.arrays, settings, proximal_mu=order.proximal_mu
            )
        reports = [
            self._report(workbench, context, trained, len(trainee.examples.lengths), result)
            for context, trainee, result in zip(contexts, trainees, results, strict=True)
        ]
        return [train_reply(message, clipped(order, report)) for message, report in zip(messages, reports, strict=True)]

    def prefill(self, message: Message, context: Context) -> Message:
        """Compute the states of all of the partition's texts and store them.

        Raises ValueError if the client keeps no cache.
        """
        if not self._cached_depths:
            raise ValueError("cannot fill its cache: client.options.cache is false")
        workbench = open_workbench(context)
        trained = self._trained_set(configuration_of(message), workbench)
        depth, _ = depth_and_width(trained, workbench.network.encoder.shape.blocks)
        count = len(examples_for(workbench, partition_of(context), trained).lengths)
        passes = forward_passes(
            batches=epoch_batches(count, self._settings.batch_size),
            batch_size=self._settings.batch_size,
            input_shape=workbench.samples("train").input_shape,
            model_blocks=workbench.network.encoder.shape.blocks,
            scored_tokens=0 if workbench.network.encoder.shape.is_decoder else None,  # states are stored, none is read
            format=workbench.weights_format,
            processor=self._settings.processor,
        )
        workload = Workload(passes=passes, num_examples=count)
        context.state[_STATE] = ConfigRecord(vars(ActivationCache(depth=depth, filled_batches=workload.batches)))
        return prefill_reply(message, workload)

    def _train(self, message: Message, context: Context) -> Message:
        return self.train_together([message], [context])[0]

    def _report(
        self, workbench: Workbench, context: Context, trained: TrainableSet, count: int, result: TrainingResult
    ) -> TrainReport:
        settings, blocks = self._settings, workbench.network.encoder.shape.blocks
        depth, width = depth_and_width(trained, blocks)
        uncached = self._uncached_batches(context, depth, count, result.batches)
        passes = training_passes(
            batches=result.batches,
            cached_batches=result.batches - uncached,
            batch_size=settings.batch_size,
            input_shape=workbench.samples("train").input_shape,
            model_blocks=blocks,
            depth=depth,
            trained=trained.spec if depth else bottleneck(width),
            checkpointing=settings.checkpointing,
            processor=settings.processor,
            scored_tokens=workbench.scored_tokens("train"),
            format=workbench.weights_format,
        )
        workload = Workload(passes=passes, num_examples=count)
        return TrainReport(arrays=result.arrays, num_examples=count, train_loss=result.loss, workload=workload)

    def _uncached_batches(self, context: Context, depth: int, count: int, batches: int) -> int:
        """Return how many of a round's batches the device runs in full, and note what its cache then holds."""
        if not self._cached_depths:
            return batches
        record = context.state.config_records.get(_STATE)
        uncached, cache = filling(
            None if record is None else ActivationCache(**record),  # type: ignore[arg-type]
            depth=depth,
            depths=self._cached_depths,
            batches=batches,
            epoch_batches=epoch_batches(count, self._settings.batch_size),
        )
        context.state[_STATE] = ConfigRecord(vars(cache))
        return uncached
