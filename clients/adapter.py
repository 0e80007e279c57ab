"""A client that trains adapters and head on its own partition, from stored states of the frozen blocks."""

from collections.abc import Sequence

from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp

from clients.partition import answer_evaluate, examples_of, partition_of
from fedlab.common.seeds import generator
from fedlab.common.spans import span
from fedlab.messages.orders import configuration_of as ordered_configuration
from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, prefill_reply, query_reply, train_reply
from fedlab.models.peft.bottleneck import configuration_of
from fedlab.training.bundle import Workbench, open_workbench
from fedlab.training.device_cache import ActivationCache, epoch_batches, filling
from fedlab.training.local import LocalTraining, TrainingResult
from fedlab.training.sgd_stacked import Trainee, train_together
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

_STATE = "activation-cache"


def adapter(
    *,
    optimizer: str = "sgd",
    learning_rate: float = 0.1,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    schedule: str = "linear",
    clip_norm: float | None = 1.0,
    batch_size: int = 4,
    epochs: int = 1,
    max_batches: int | None = None,
    cache: bool = True,
    cached_depths: int = 1,
) -> ClientApp:
    """Return the adapter client; see `fedlab.training.local.LocalTraining` for the options.

    With `cache` the device keeps the activations of its frozen blocks (the activation cache of AdaFL): the first
    epoch at a new depth runs every block, later ones start at the lowest adapter. With `cached_depths` above 1 that
    epoch also stores what it comes by for deeper adapters, of so many depths in all: a search that goes deeper then
    need not fill the cache again.
    """
    options = {key: value for key, value in locals().items() if key not in ("cache", "cached_depths")}
    if cached_depths < 1:
        raise ValueError(f"cached_depths: {cached_depths}, expected 1 or more")
    return AdapterClient(LocalTraining(**options), cached_depths=cached_depths if cache else 0)


class AdapterClient(ClientApp):
    """The ClientApp; its clients can be trained side by side (`fedlab.messages.trains_together.TrainsTogether`)."""

    def __init__(self, settings: LocalTraining, *, cached_depths: int) -> None:
        super().__init__()
        self._settings = settings
        self._cached_depths = cached_depths
        self.train()(lambda message, context: self.train_together([message], [context])[0])
        self.evaluate()(lambda message, context: answer_evaluate(message, context, settings.batch_size))
        self.query()(lambda message, context: query_reply(message, partition_of(context)))
        self.query("prefill")(self.prefill)

    def train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Train the clients of several orders that hold the same."""
        order = read_order(messages[0])
        workbench = open_workbench(contexts[0].run_config, contexts[0].node_config)
        depth = configuration_of(order.arrays).depth
        partitions = [partition_of(context) for context in contexts]
        trainees = [
            Trainee(
                examples=examples_of(workbench, partition, depth),
                generator=generator(workbench.seed, "batches", order.server_round, partition),
            )
            for partition in partitions
        ]
        with span("train"):
            results = train_together(
                workbench.network, trainees, order.arrays, self._settings, proximal_mu=order.proximal_mu
            )
        return [
            train_reply(message, self._report(workbench, context, len(trainee.examples.lengths), result))
            for message, context, trainee, result in zip(messages, contexts, trainees, results, strict=True)
        ]

    def prefill(self, message: Message, context: Context) -> Message:
        """Compute the states of all of the partition's texts and store them.

        Raises ValueError if the client keeps no cache.
        """
        if not self._cached_depths:
            raise ValueError("cannot fill its cache: client.options.cache is false")
        workbench, depth = (
            open_workbench(context.run_config, context.node_config),
            int(ordered_configuration(message)["depth"]),
        )
        count = len(examples_of(workbench, partition_of(context), depth).lengths)
        passes = forward_passes(
            batches=epoch_batches(count, self._settings.batch_size),
            batch_size=self._settings.batch_size,
            input_shape=(workbench.tokens("train").input_ids.shape[1],),
            model_blocks=workbench.network.encoder.shape.blocks,
        )
        workload = Workload(passes=passes, num_examples=count)
        context.state[_STATE] = ConfigRecord(vars(ActivationCache(depth=depth, filled_batches=workload.batches)))
        return prefill_reply(message, workload)

    def _report(self, workbench: Workbench, context: Context, count: int, result: TrainingResult) -> TrainReport:
        config, settings = configuration_of(result.arrays), self._settings
        uncached = self._uncached_batches(context, config.depth, count, result.batches)
        passes = training_passes(
            batches=result.batches,
            cached_batches=result.batches - uncached,
            batch_size=settings.batch_size,
            input_shape=(workbench.tokens("train").input_ids.shape[1],),
            model_blocks=workbench.network.encoder.shape.blocks,
            depth=config.depth,
            trained=bottleneck(config.width),
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
