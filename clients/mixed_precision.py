"""A client that trains a convolutional network in the number formats of an algorithm, and sends float32 arrays."""

from pathlib import Path

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets, TrainingClient
from clients.partition import augmentation, batch_draws, examples_for, partition_of, whole_network_workload
from fedlab.common.seeds import generator, seed_for
from fedlab.common.spans import span
from fedlab.errors import UserError
from fedlab.messages.clipping import clipped
from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.models.cnn.network import ConvNetwork
from fedlab.models.mixed_precision.algorithm import Algorithm, algorithm_named
from fedlab.training.local import LocalTraining
from fedlab.training.mixed_precision import FormatDraws, train_emulated
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.passes import DEFAULT_PROCESSOR


def mixed_precision(
    *,
    algorithm: str,
    learning_rate: float | list[list[float]] | None = None,
    batch_size: int = 10,
    epochs: int = 1,
    max_batches: int | None = None,
    processor: str = DEFAULT_PROCESSOR,
    base_folder: str = ".",
) -> ClientApp:
    """Train a whole network by Octo, Adaptive Fixed-Point, WAGEUBN, MLS, chunk-based FP8, or a file of your own.

    `algorithm` is a built-in name or a .toml file. `learning_rate` is by default the file's: one rate, or pairs of a
    server round, counted from 0, and the rate from then on. Formats are emulated in float32, and the arrays sent are
    float32: any strategy for whole models takes them. The work is billed on a `processor` of the board in the format
    that the algorithm computes in (`Algorithm.billed_in`).
    """
    read = algorithm_named(algorithm, Path(base_folder))
    if read.is_integer:
        raise UserError(
            f"client.options.algorithm: '{algorithm}' is of integers alone, which are not emulated: set client.name = "
            "'integer'"
        )
    if learning_rate is not None:
        read = read.with_learning_rate(learning_rate, "client.options.learning_rate")
    batches = LocalTraining(batch_size=batch_size, epochs=epochs, max_batches=max_batches, processor=processor)
    return MixedPrecisionClient(batches, read)


class MixedPrecisionClient(TrainingClient):
    """The ClientApp; its clients are trained one at a time."""

    split_kinds = frozenset({"inputs"})
    trains = "whole networks for images"

    def __init__(self, batches: LocalTraining, algorithm: Algorithm) -> None:
        super().__init__(batches, AcceptedSets())
        self._algorithm = algorithm

    def _train(self, message: Message, context: Context) -> Message:
        order = read_order(message)
        workbench, partition = open_workbench(context), partition_of(context)
        trained = self._trained_set(order.configuration, workbench)
        network = workbench.network
        if not isinstance(network, ConvNetwork):
            raise UserError("client.name = 'mixed-precision': trains networks for images, and the task has none")
        examples = examples_for(workbench, partition, trained)
        with span("train"):
            result = train_emulated(
                network,
                examples,
                order.arrays,
                self._settings,
                self._algorithm,
                _draws(workbench, order.server_round, partition),
                server_round=order.server_round,
                vary=augmentation(workbench, order.server_round, partition),
            )
        workload = whole_network_workload(
            workbench,
            result.batches,
            len(examples.lengths),
            batch_size=self._settings.batch_size,
            format=self._algorithm.billed_in,
            processor=self._settings.processor,
        )
        report = TrainReport(
            arrays=result.arrays, num_examples=workload.num_examples, train_loss=result.loss, workload=workload
        )
        return train_reply(message, clipped(order, report))


def _draws(workbench: Workbench, server_round: int, partition: int) -> FormatDraws:
    seed = seed_for(workbench.seed, "formats", server_round, partition)
    return FormatDraws(
        batches=batch_draws(workbench, server_round, partition),
        compensation=generator(workbench.seed, "compensation", server_round, partition),
        roundings=torch.Generator().manual_seed(seed),
    )
