"""FedSGD: the clients send gradients of one batch each, and the server makes one step of their mean.

Source: "Communication-Efficient Learning of Deep Networks from Decentralized Data", McMahan et al. 2017
(https://arxiv.org/abs/1602.05629).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedlab.gradients.vectors import flat
from fedlab.server.context import Server
from strategies.base import AttachedStrategy, takes_options_of
from strategies.steps import StepOptions, Steps


class FedSGD(AttachedStrategy):
    """Ask a cohort for the gradients of one batch each, and step by their mean, which is not weighted by examples.

    A server round is one step. The options are those of `strategies.steps.StepOptions`.
    """

    takes = frozenset({"gradient"})

    @takes_options_of(StepOptions)
    def __init__(self, **options: Any) -> None:
        rules = StepOptions(**options)
        self.clients_per_round = rules.clients_per_round
        self._steps = Steps(rules)

    def attach(self, server: Server) -> None:
        """Store the server's side of the run."""
        super().attach(server)
        self._steps.server = server

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the cohort for the next step."""
        self._steps.begin(arrays, config)
        nodes = self._steps.next_cohort(grid)
        return self._steps.messages(nodes, server_round, arrays, self._steps.next_step())

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model after a step by the mean of the gradients, None if there are too few."""
        updates = self._steps.updates(replies)
        if not self._steps.are_enough(updates):
            return None, None
        gradient = np.asarray(np.mean([flat(update.arrays) for update in updates], axis=0, dtype=np.float64))
        return self._steps.stepped(gradient), None

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return self._steps.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._steps.restore(state)
