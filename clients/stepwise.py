"""What the clients share that answer orders for single steps: one batch at one model, whose update the server makes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message

from clients.base import TrainingClient
from clients.partition import examples_for, partition_of
from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.common.spans import span
from fedlab.errors import UserError
from fedlab.gradients.vectors import VectorLayout, flat, layout_of, named
from fedlab.messages.orders import configuration_of
from fedlab.messages.pack import from_record, records_of, to_record
from fedlab.messages.probes import StepOrder, arrays_of, read_step
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.models.peft.base import TrainableSet
from fedlab.training.local import TrainingExamples, trainable
from fedlab.training.probes import Batches
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.workload import Workload

_KEPT, _KEPT_STEP = "kept-model", "kept-step"  # records of a client's state: the model it was sent last, and its step


@dataclass(frozen=True, kw_only=True)
class StepWork:
    """What several clients do for one step: their models [P], batches and partitions; `rows` are of each batch."""

    workbench: Workbench
    trained: TrainableSet
    layout: VectorLayout
    centres: Sequence[np.ndarray]
    batches: Batches
    partitions: Sequence[int]
    rows: Sequence[np.ndarray]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one text, in tokens, or of one image."""
        return self.workbench.samples("train").input_shape

    def report(self, client: int, arrays: Arrays, kind: str, loss: float, workload: Workload) -> TrainReport:
        """Return what one client answers."""
        return TrainReport(
            arrays=arrays,
            num_examples=len(self.rows[client]),
            train_loss=loss,
            workload=workload,
            kind=kind,  # type: ignore[arg-type]
        )

    def gradient(self, vector: np.ndarray) -> Arrays:
        """Return a vector as arrays."""
        return named(vector, self.layout)


class StepClient(TrainingClient):
    """A client that measures at one model on one batch, side by side with others that were sent the same."""

    split_kinds = frozenset({"features", "adapter", "partial_block", "block_input", "inputs"})
    trains = "any built-in set"

    def train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Answer the orders of several clients that hold the same."""
        order = read_step(messages[0])
        with span("train"):
            reports = self._local(messages, contexts) if order is None else self._step(order, messages[0], contexts)
        return [train_reply(message, report) for message, report in zip(messages, reports, strict=True)]

    def _train(self, message: Message, context: Context) -> Message:
        return self.train_together([message], [context])[0]

    def _local(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[TrainReport]:
        """Answer orders that do not name a step; raises UserError where the client takes none."""
        raise UserError("this client takes one step at a time: the strategy must ask for steps, as fedsgd does")

    def _step(self, order: StepOrder, message: Message, contexts: Sequence[Context]) -> list[TrainReport]:
        workbench = open_workbench(contexts[0])
        trained = self._trained_set(configuration_of(message), workbench)
        partitions = [partition_of(context) for context in contexts]
        sent = arrays_of(message)
        models = [trainable(model_of(sent, context, keeps=order.keeps, step=order.step)) for context in contexts]
        examples = [examples_for(workbench, partition, trained, grows=False) for partition in partitions]
        rows = [
            _rows_of(workbench, partition, each, self._settings.batch_size, order)
            for partition, each in zip(partitions, examples, strict=True)
        ]
        work = StepWork(
            workbench=workbench,
            trained=trained,
            layout=layout_of(models[0]),
            centres=[flat(model) for model in models],
            batches=Batches.of(workbench.network, examples, rows),
            partitions=partitions,
            rows=rows,
        )
        return self._measure(order, work)

    @abstractmethod
    def _measure(self, order: StepOrder, work: StepWork) -> list[TrainReport]:
        """Return what each client answers."""


def model_of(sent: Arrays | None, context: Context, *, keeps: bool, step: int = 0) -> Arrays:
    """Return the model of an order: the one it sends, which the client then `keeps`, or the one that it kept.

    Raises:
        UserError: the order sends none, and the one that was kept is of another step: the server was stopped, say, and
            resumed from a round before.
    """
    if sent is not None:
        if keeps:
            context.state[_KEPT], context.state[_KEPT_STEP] = to_record(sent), ConfigRecord({"step": step})
        return sent
    kept = records_of(context.state, ArrayRecord).get(_KEPT)
    if kept is None:
        raise UserError("the order sends no model, and this client has kept none; it must be asked with the model")
    record = records_of(context.state, ConfigRecord).get(_KEPT_STEP)
    of_step = None if record is None else record["step"]
    if of_step != step:
        raise UserError(
            f"the order sends no model and is for step {step}, but this client has kept that of {of_step!r}"
        )
    return from_record(kept)


def _rows_of(
    workbench: Workbench, partition: int, examples: TrainingExamples, batch_size: int, order: StepOrder
) -> np.ndarray:
    """Return the rows of the step's batch: the batches of a period are drawn at once, and begin again if too few."""
    count = len(examples.lengths)
    drawn = generator(workbench.seed, "step-batches", order.period, partition).permutation(count)
    batches = -(-count // batch_size)
    start = order.batch % batches * batch_size
    return drawn[start : start + batch_size]
