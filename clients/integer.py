"""A client that trains a convolutional network in integers alone, and sends int8 mantissas with exponents."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets, TrainingClient
from clients.partition import augmentation, batch_draws, examples_for, partition_of, whole_network_workload
from fedlab.common.spans import span
from fedlab.errors import UserError
from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.messages.shift_history import TensorShifts
from fedlab.models.cnn.network import ConvNetwork
from fedlab.models.integer.rescaling import ShiftHistory
from fedlab.models.mixed_precision.algorithm import Algorithm, algorithm_named
from fedlab.training.integer import LocalIntegers, train_integers
from fedlab.training.workbench import open_workbench
from fedlab.workload.passes import DEFAULT_PROCESSOR


def integer(
    *,
    algorithm: str = "niti",
    mu: int | list[list[int]] | None = None,
    batch_size: int = 10,
    epochs: int = 1,
    max_batches: int | None = None,
    processor: str = DEFAULT_PROCESSOR,
    rescaling: Literal["every-batch", "adaptive"] = "every-batch",
    record_shifts: bool | None = None,
    base_folder: str = ".",
) -> ClientApp:
    """Train a whole network in integers, by NITI in one of its versions or a file of your own.

    `mu` is the learning rate, by default the file's (`fedlab.training.integer.LocalIntegers`); a schedule is by server
    round. It takes strategies that send int8: `q-fedavg` and `q-fedupdate`. The work is billed in int8 on a `processor`
    of the board, by default its first one for convolutional networks, the CPU. With `rescaling = "adaptive"` shifts are
    reused; what they were is then recorded, and otherwise if `record_shifts` says so.
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
    settings = replace(settings, adaptive=rescaling == "adaptive")
    records = settings.adaptive if record_shifts is None else record_shifts
    return IntegerClient(settings, read, processor, records_shifts=records)


class IntegerClient(TrainingClient):
    """The ClientApp; its clients are trained one at a time."""

    split_kinds = frozenset({"inputs"})
    trains = "whole networks for images"

    def __init__(self, settings: LocalIntegers, algorithm: Algorithm, processor: str, *, records_shifts: bool) -> None:
        super().__init__(settings.batches, AcceptedSets())
        self._integers = settings
        self._rules = algorithm.integer_rules
        self._processor = processor
        self._records_shifts = records_shifts

    def _train(self, message: Message, context: Context) -> Message:
        order = read_order(message)
        workbench, partition = open_workbench(context), partition_of(context)
        trained = self._trained_set(order.configuration, workbench)
        network = workbench.network
        if not isinstance(network, ConvNetwork):
            raise UserError("client.name = 'integer': trains networks for images, and the task has none")
        examples, shifts = examples_for(workbench, partition, trained), dict[str, ShiftHistory]()
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
                shifts=shifts,
            )
        workload = whole_network_workload(
            workbench,
            result.batches,
            len(examples.lengths),
            batch_size=self._integers.batch_size,
            format="int8",
            processor=self._processor,
        )
        report = TrainReport(
            arrays=result.arrays,
            num_examples=workload.num_examples,
            train_loss=result.loss,
            workload=workload,
            shifts=_recorded(shifts) if self._records_shifts else (),
        )
        return train_reply(message, report)


def _recorded(shifts: Mapping[str, ShiftHistory]) -> list[TensorShifts]:
    return [
        TensorShifts(
            tensor=name,
            found=each.found,
            reused=each.reused,
            saturated=each.saturated,
            changes=[list(change) for change in each.changes],
        )
        for name, each in shifts.items()
    ]
