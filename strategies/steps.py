"""Steps that the server makes of what a cohort measures: who is asked for which batch, and how a gradient is used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType
from flwr.serverapp import Grid

from fedlab.gradients.vectors import VectorLayout, flat, layout_of, named
from fedlab.messages.kept_model import as_kept
from fedlab.messages.npy import views_of
from fedlab.messages.orders import order_content, passed_configuration
from fedlab.messages.pack import to_record
from fedlab.messages.probes import StepOrder, add_step
from fedlab.messages.updates import Update, read_update
from fedlab.server.context import Server
from strategies.cohort import CohortRules, draw_cohort
from strategies.step_rules import StepMemory, StepRule

if TYPE_CHECKING:
    from fedlab.common.arrays import Arrays
    from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class StepOptions(CohortRules):
    """The rules of a cohort, for how many steps it is asked, and how the server steps.

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


class Steps:
    """What strategies share that step by step; `server` is the server's side of the run, once they are attached.

    A cohort is asked for `steps_per_cohort` steps, each with its next batch: FwdLLM calls that a round.
    """

    server: Server

    def __init__(self, options: StepOptions) -> None:
        self._options = options
        self._memory = StepMemory()
        self._cohort: tuple[int, ...] = ()  # partitions
        self._period = 0
        self._in_period = 0  # steps the cohort was asked for
        self._step = 0
        self._sent: Arrays = {}
        self._configuration: Configuration = {}

    @property
    def cohort(self) -> tuple[int, ...]:
        """Return the partitions that are asked."""
        return self._cohort

    @property
    def layout(self) -> VectorLayout:
        """Return the layout of the model as a vector."""
        return layout_of(self._sent)

    def begin(self, arrays: ArrayRecord, config: ConfigRecord) -> None:
        """Take note of the model of a round, and of what is trained of it."""
        self._sent, self._configuration = views_of(arrays), passed_configuration(config)

    def next_cohort(self, grid: Grid) -> list[int]:
        """Return the nodes of the cohort that are there; draw another if its steps are over, or none is there."""
        nodes = list(grid.get_node_ids())
        present = self.present(nodes) if self._in_period < self._options.steps_per_cohort else []
        if not present:
            self._period, self._in_period = self._period + 1, 0
            present = draw_cohort(nodes, size=self._options.asked, seed=self.server.seed, server_round=self._period)
            self._cohort = tuple(self.server.partitions[node] for node in present)
        return present

    def present(self, nodes: Sequence[int]) -> list[int]:
        """Return the nodes of the cohort that are there, in the order of the cohort."""
        by_partition = {self.server.partitions[node]: node for node in nodes}
        return [by_partition[partition] for partition in self._cohort if partition in by_partition]

    def next_step(self) -> StepOrder:
        """Return the order of the cohort's next step."""
        order = StepOrder(step=self._step, period=self._period, batch=self._in_period)
        self._step, self._in_period = self._step + 1, self._in_period + 1
        return order

    def messages(
        self, nodes: Sequence[int], server_round: int, arrays: ArrayRecord, step: StepOrder, *, kept: bool = False
    ) -> list[Message]:
        """Return the orders of a step, which share their content; `kept` if the clients have kept the model."""
        content = order_content(
            arrays,
            server_round=server_round,
            configuration=self._configuration,
            terms=self._options.terms(self._options.clients_per_round),
        )
        content = as_kept(content) if kept else content
        add_step(content, step)
        return [Message(content, node, MessageType.TRAIN) for node in nodes]

    def updates(self, replies: Iterable[Message]) -> list[Update]:
        """Return the updates among replies."""
        return [
            read_update(reply, configuration=self._configuration, arrives_seconds=0.0)
            for reply in replies
            if not reply.has_error()
        ]

    def are_enough(self, updates: Sequence[Update]) -> bool:
        """Tell whether there are as many updates as the rules want; note in the ledger if not."""
        wanted = self._options.min_replies
        if len(updates) < wanted:
            self.server.ledger.fail(
                MessageType.TRAIN, f"{len(updates)} updates to average, {wanted} needed: the model stays"
            )
        return len(updates) >= wanted

    def stepped(self, gradient: np.ndarray) -> ArrayRecord:
        """Return the model after a step, and remember what the next one needs."""
        moved, self._memory = self._options.rule.stepped(flat(self._sent), gradient, self._memory)
        arrays = named(moved, self.layout)
        return to_record({name: arrays[name] for name in self._sent})

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
