"""A client that trains a convolutional network in integers alone, and sends int8 mantissas with exponents."""

from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets, TrainingClient
from clients.partition import augmentation, batch_draws, examples_for, partition_of
from fedlab.common.spans import span
from fedlab.errors import UserError
from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.models.cnn.network import ConvNetwork
from fedlab.models.mixed_precision.algorithm import Algorithm, algorithm_named
from fedlab.training.integer import LocalIntegers, train_integers
from fedlab.training.workbench import open_workbench
from fedlab.workload.passes import DEFAULT_PROCESSOR, WHOLE
from fedlab.workload.workload import Workload, training_passes


def integer(
    *,
    algorithm: str = "niti",
    mu: int | list[list[int]] | None = None,
    batch_size: int = 10,
    epochs: int = 1,
    max_batches: int | None = None,
    processor: str = DEFAULT_PROCESSOR,
    base_folder: str = ".",
) -> ClientApp:
    """Train a whole network in integers, by NITI in one of its versions or a file of your own.

    `mu` is the learning rate, by default the file's (`fedlab.training.integer.LocalIntegers`); a schedule is by server
    round. It takes strategies that send int8: `q-fedavg` and `q-fedupdate`. The work is billed in int8 on a `processor`
    of the board, by default its first one for convolutional networks, the CPU.
    """
    read = algorithm_named(algorithm, Path(base_folder))
    if not read.is_integer:
        raise UserError(
            f"client.options.algorithm: '{algorithm}' is not of integers alone; accepted: niti, niti-current"
        )
    if read.update.wide_weights:
        raise UserError(f"client.options.algorithm: '{algorithm}' has 16-bit weights, and clients send 8 bits")
    given = read.update.mu if mu is None else mu
    settings = LocalIntegers(mu=given, batch_size=batch_size, epochs=epochs, max_batches=max_batches)
    return IntegerClient(settings, read, processor)


class IntegerClient(TrainingClient):
    """The ClientApp; its clients are trained one at a time."""

    split_kinds = frozenset({"inputs"})
    trains = "whole networks for images"

    def __init__(self, settings: LocalIntegers, algorithm: Algorithm, processor: str) -> None:
        super().__init__(settings.batches, AcceptedSets())
        self._integers = settings
        self._rules = algorithm.integer_rules
        self._processor = processor

    def _train(self, message: Message, context: Context) -> Message:
        order = read_order(message)
        workbench, partition = open_workbench(context), partition_of(context)
        trained = self._trained_set(order.configuration, workbench)
        network = workbench.network
        if not isinstance(network, ConvNetwork):
            raise UserError("client.name = 'integer': trains networks for images, and the task has none")
        examples = examples_for(workbench, partition, trained)
        with span("train"):
            result = train_integers(
                network,
                examples,
                order.arrays,
                self._integers,
                self._rules,
                batch_draws(workbench, order.server_round, partition),
                server_round=order.server_round,
                vary=augmentation(workbench, order.server_round, partition),
            )
        blocks = network.encoder.shape.blocks
        passes = training_passes(
            batches=result.batches,
            batch_size=self._integers.batch_size,
            input_shape=workbench.samples("train").input_shape,
            model_blocks=blocks,
            depth=blocks,
            trained=WHOLE,
            format="int8",
            processor=self._processor,
        )
        workload = Workload(passes=passes, num_examples=len(examples.lengths))
        report = TrainReport(
            arrays=result.arrays, num_examples=workload.num_examples, train_loss=result.loss, workload=workload
        )
        return train_reply(message, report)
