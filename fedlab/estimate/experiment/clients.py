"""A grid of planned clients: each answers at once a model near the one it was sent, and what it would have done."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from flwr.app import Message, MessageType

from fedlab.errors import UserError
from fedlab.estimate.experiment.work import PlannedWork
from fedlab.messages.clipping import clipped
from fedlab.messages.flower_private import assume_identity, with_id
from fedlab.messages.grids import AnsweringGrid
from fedlab.messages.integer_arrays import check_integer_arrays
from fedlab.messages.orders import PREFILL, Order, configuration_of, read_order, server_round_of
from fedlab.messages.probes import StepOrder, arrays_of, read_step
from fedlab.messages.replies import EvaluateReport, TrainReport, evaluate_reply, prefill_reply, train_reply
from fedlab.messages.seed_pool import read_pool
from fedlab.models.peft.base import TrainableSet, depth_and_width
from fedlab.workload.workload import Configuration

if TYPE_CHECKING:
    from fedlab.training.device_cache import ActivationCache

_RUN_ID = 1
_FIRST_NODE_ID = 2  # 1 is the server's
_STEP = 1e-3  # by which a planned client moves every weight


class PlannedClients(AnsweringGrid):
    """A client a partition; `num_examples` are their numbers of examples, by partition id.

    They train `adapters` or whole blocks of a model with `blocks` blocks; `named` makes the set that an order names.
    With `integers` they take int8 mantissas alone.
    `server_round` is the last one they were asked in.
    """

    def __init__(
        self,
        work: PlannedWork,
        num_examples: Sequence[int],
        *,
        adapters: bool,
        blocks: int,
        named: Callable[[Configuration], TrainableSet],
        integers: bool = False,
    ) -> None:
        super().__init__("planned")
        assume_identity(_RUN_ID)
        self._work = work
        self._num_examples = num_examples
        self._adapters = adapters
        self._blocks = blocks
        self._named = named
        self._integers = integers
        self.server_round = 0
        self._ids = itertools.count(1)
        self._caches: dict[int, ActivationCache] = {}

    def partitions(self) -> Mapping[int, int]:
        """Return node ids with the partitions they hold."""
        return {_FIRST_NODE_ID + partition: partition for partition in range(len(self._num_examples))}

    def get_node_ids(self) -> range:
        """Return the ids of all nodes."""
        return range(_FIRST_NODE_ID, _FIRST_NODE_ID + len(self._num_examples))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have every message answered and return their ids."""
        sent = [with_id(message, str(next(self._ids))) for message in messages]
        self._replies |= {message.metadata.message_id: self._answer(message) for message in sent}
        return [message.metadata.message_id for message in sent]

    def _answer(self, message: Message) -> Message:
        partition = message.metadata.dst_node_id - _FIRST_NODE_ID
        count, self.server_round = self._num_examples[partition], server_round_of(message)
        if message.metadata.message_type == PREFILL:
            depth, _ = depth_and_width(self._named(configuration_of(message)), self._blocks)
            work, self._caches[partition] = self._work.prefill(depth, count)
            return prefill_reply(message, work)
        if read_pool(message) is not None:
            raise UserError("strategy.name = 'fedkseed': no estimate of its messages is made; `fedlab run` bills them")
        step = read_step(message)
        if step is not None:
            return train_reply(message, self._step_report(message, step, count))
        order = read_order(message)
        if message.metadata.message_type == MessageType.EVALUATE:
            work = self._work.evaluation(count)
            return evaluate_reply(message, EvaluateReport(num_examples=count, accuracy=0.0, workload=work))
        return train_reply(message, clipped(order, self._report(order, partition)))

    def _step_report(self, message: Message, step: StepOrder, count: int) -> TrainReport:
        """Return the answer to an order for a step: derivatives of zero, of which no strategy asks for more."""
        trained, arrays = self._named(configuration_of(message)), arrays_of(message) or {}
        work = self._work.step(trained, count, step.probes)
        if step.probes:
            zeros = {"derivatives": np.zeros(step.probes, np.float32)}
            return TrainReport(
                arrays=zeros, num_examples=work.num_examples, train_loss=0.0, workload=work, kind="scalars"
            )
        moved = {name: np.full_like(array, _STEP) for name, array in arrays.items()}
        return TrainReport(arrays=moved, num_examples=work.num_examples, train_loss=0.0, workload=work, kind="gradient")

    def _report(self, order: Order, partition: int) -> TrainReport:
        count = self._num_examples[partition]
        trained = self._named(order.configuration)
        at = trained.split_point(self._blocks)
        method: Literal["adapter", "freeze", "full"] = "full" if at.kind == "inputs" else "freeze"
        if self._adapters:
            method = "adapter"
        work, cache = self._work.workload(method, trained, count, self._caches.get(partition))
        if cache is not None:
            self._caches[partition] = cache
        # Strategies that scale updates by their length would divide by zero if none differed from what was sent.
        if self._integers:
            check_integer_arrays(order.arrays)
        arrays = {
            name: array + np.float32(_STEP) if array.dtype.kind == "f" else array
            for name, array in order.arrays.items()
        }
        return TrainReport(arrays=arrays, num_examples=count, train_loss=0.0, workload=work)
