"""What the clients share that answer orders for single steps: one batch at one model, whose update the server makes."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message

from clients.base import TrainingClient
from clients.partition import examples_for, partition_of
from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.common.spans import span
from fedlab.errors import UserError
from fedlab.gradients.vectors import VectorLayout, flat, layout_of, named
from fedlab.messages.kept_model import lacking_reply
from fedlab.messages.orders import configuration_of
from fedlab.messages.pack import config_of, from_record, records_of, to_record
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
        """Answer the orders of several clients that hold the same; those that lack the model of it say so."""
        order = read_step(messages[0])
        able = [has_model(message, context, order) for message, context in zip(messages, contexts, strict=True)]
        with span("train"):
            reports = iter(self._reports(order, list(compress(messages, able)), list(compress(contexts, able))))
        return [
            train_reply(message, next(reports)) if has else lacking_reply(message)
            for message, has in zip(messages, able, strict=True)
        ]

    def _train(self, message: Message, context: Context) -> Message:
        return self.train_together([message], [context])[0]

    def _reports(
        self, order: StepOrder | None, messages: Sequence[Message], contexts: Sequence[Context]
    ) -> list[TrainReport]:
        if not messages:
            return []
        return self._local(messages, contexts) if order is None else self._step(order, messages[0], contexts)

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


def has_model(message: Message, context: Context, order: StepOrder | None) -> bool:
    """Tell whether a client has the model of an order: the order sends it, or the client kept it for this step.

    It lacks the model if it was started again without its state, or if it kept that of another step, as where the
    server was stopped and resumed from a round before.
    """
    if arrays_of(message) is not None:
        return True
    kept = _KEPT in records_of(context.state, ArrayRecord)
    return kept and config_of(context.state, _KEPT_STEP).get("step") == (order.step if order else 0)


def model_of(sent: Arrays | None, context: Context, *, keeps: bool, step: int = 0) -> Arrays:
    """Return the model of an order that the client has: that which is sent, which it then `keeps`, or what it kept."""
    if sent is None:
        return from_record(records_of(context.state, ArrayRecord)[_KEPT])
    if keeps:
        context.state[_KEPT], context.state[_KEPT_STEP] = to_record(sent), ConfigRecord({"step": step})
    return sent


def _rows_of(
    workbench: Workbench, partition: int, examples: TrainingExamples, batch_size: int, order: StepOrder
) -> np.ndarray:
    """Return the rows of the step's batch: the batches of a period are drawn at once, and begin again if too few."""
    count = len(examples.lengths)
    drawn = generator(workbench.seed, "step-batches", order.period, partition).permutation(count)
    batches = -(-count // batch_size)
    start = order.batch % batches * batch_size
    return drawn[start : start + batch_size]
