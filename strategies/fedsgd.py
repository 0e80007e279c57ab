"""FedSGD: the clients send gradients of one batch each, and the server makes one step of their mean.

Source: "Communication-Efficient Learning of Deep Networks from Decentralized Data", McMahan et al. 2017
(https://arxiv.org/abs/1602.05629).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid

from fedlab.common.arrays import Arrays
from fedlab.gradients.vectors import flat, layout_of, named
from fedlab.messages.npy import views_of
from fedlab.messages.orders import order_content, passed_configuration
from fedlab.messages.pack import to_record
from fedlab.messages.probes import StepOrder, add_step
from fedlab.messages.updates import Update, read_update
from strategies.base import AttachedStrategy, takes_options_of
from strategies.cohort import CohortRules, draw_cohort
from strategies.step_rules import StepMemory, StepRule

if TYPE_CHECKING:
    from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class FedSGDOptions(CohortRules):
    """The options of FedSGD: the rules of a cohort, for how many steps it is asked, and how the server steps.

    The others are those of `strategies.step_rules.StepRule`. Raises ValueError for a value that cannot be.
    """

    steps_per_cohort: int = 1
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    decay_steps: int | None = None
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 1 <= self.steps_per_cohort <= 10**9:
            raise ValueError(f"steps_per_cohort: {self.steps_per_cohort}, expected 1 to 1e9")
        if self.late == "carry":
            raise ValueError("late: 'carry' cannot be: a gradient is of the model that it was measured at")
        _ = self.rule  # which raises what is wrong with it

    @property
    def rule(self) -> StepRule:
        """Return how the server steps."""
        return StepRule(
            optimizer=self.optimizer,  # type: ignore[arg-type]
            learning_rate=self.learning_rate,
            decay_steps=self.decay_steps,
            momentum=self.momentum,
        )


class FedSGD(AttachedStrategy):
    """Ask a cohort for the gradients of one batch each, and step by their mean, which is not weighted by examples.

    A server round is one step. A cohort is asked for `steps_per_cohort` steps, each with its next batch: FwdLLM calls
    that a round. The options are those of `FedSGDOptions`.
    """

    takes = frozenset({"gradient"})

    @takes_options_of(FedSGDOptions)
    def __init__(self, **options: Any) -> None:
        self._set(FedSGDOptions(**options))

    def _set(self, options: FedSGDOptions) -> None:
        self._options = options
        self.clients_per_round = options.clients_per_round
        self._memory = StepMemory()
        self._cohort: tuple[int, ...] = ()  # partitions
        self._period = 0
        self._in_period = 0  # steps the cohort was asked for
        self._step = 0
        self._sent: Arrays = {}
        self._configuration: Configuration = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the cohort for the next step."""
        self._sent, self._configuration = views_of(arrays), passed_configuration(config)
        nodes = self._next_cohort(grid)
        return self._messages(nodes, server_round, arrays, self._next_step())

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model after a step by the mean of the gradients, None if there are too few."""
        updates = self._updates(replies)
        if not self._are_enough(updates):
            return None, None
        gradient = np.asarray(np.mean([flat(update.arrays) for update in updates], axis=0, dtype=np.float64))
        return to_record(self._stepped(gradient)), None

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return {
            "memory": self._memory.state(),
            "cohort": self._cohort,
            "period": self._period,
            "in_period": self._in_period,
            "step": self._step,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._memory = StepMemory(**state["memory"])
        self._cohort, self._period = tuple(state["cohort"]), state["period"]
        self._in_period, self._step = state["in_period"], state["step"]

    def _next_cohort(self, grid: Grid) -> list[int]:
        """Return the nodes of the cohort that are there; draw another if its steps are over, or none is there."""
        nodes = list(grid.get_node_ids())
        present = self._present(nodes) if self._in_period < self._options.steps_per_cohort else []
        if not present:
            self._period, self._in_period = self._period + 1, 0
            present = draw_cohort(nodes, size=self._options.asked, seed=self.server.seed, server_round=self._period)
            self._cohort = tuple(self.server.partitions[node] for node in present)
        return present

    def _present(self, nodes: Sequence[int]) -> list[int]:
        """Return the nodes of the cohort that are there, in the order of the cohort."""
        by_partition = {self.server.partitions[node]: node for node in nodes}
        return [by_partition[partition] for partition in self._cohort if partition in by_partition]

    def _next_step(self) -> StepOrder:
        order = StepOrder(step=self._step, period=self._period, batch=self._in_period)
        self._step, self._in_period = self._step + 1, self._in_period + 1
        return order

    def _messages(
        self, nodes: Sequence[int], server_round: int, arrays: ArrayRecord | None, step: StepOrder
    ) -> list[Message]:
        """Return the orders of a step, which share their content; without arrays if the clients keep the model."""
        content = order_content(
            arrays or ArrayRecord(),
            server_round=server_round,
            configuration=self._configuration,
            terms=self._options.terms(self.clients_per_round),
        )
        if arrays is None:
            del content["arrays"]
        add_step(content, step)
        return [Message(content, node, MessageType.TRAIN) for node in nodes]

    def _updates(self, replies: Iterable[Message]) -> list[Update]:
        return [
            read_update(reply, configuration=self._configuration, arrives_seconds=0.0)
            for reply in replies
            if not reply.has_error()
        ]

    def _are_enough(self, updates: Sequence[Update]) -> bool:
        """Tell whether there are as many updates as the rules want; note in the ledger if not."""
        wanted = self._options.min_replies
        if len(updates) < wanted:
            self.server.ledger.fail(
                MessageType.TRAIN, f"{len(updates)} updates to average, {wanted} needed: the model stays"
            )
        return len(updates) >= wanted

    def _stepped(self, gradient: np.ndarray) -> Arrays:
        """Return the model after a step, and remember what the next one needs."""
        moved, self._memory = self._options.rule.stepped(flat(self._sent), gradient, self._memory)
        return {name: named(moved, layout_of(self._sent))[name] for name in self._sent}
