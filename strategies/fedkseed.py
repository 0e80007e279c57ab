"""FedKSeed: a model that is known by how far it has gone along the directions of a pool of seeds.

Source: "Federated Full-Parameter Tuning of Billion-Sized Language Models with Communication Cost under 18 Kilobytes",
Qin et al., ICML 2024 (https://arxiv.org/abs/2312.06353).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid

from fedlab.gradients.directions import Distribution
from fedlab.gradients.vectors import flat, layout_of, named
from fedlab.messages.kept_model import as_kept
from fedlab.messages.npy import views_of
from fedlab.messages.orders import order_content, passed_configuration
from fedlab.messages.pack import to_record
from fedlab.messages.seed_pool import PoolOrder, add_pool
from fedlab.messages.updates import Update, read_update
from strategies.base import AttachedStrategy, takes_options_of
from strategies.cohort import CohortRules, draw_cohort

if TYPE_CHECKING:
    from fedlab.common.arrays import Arrays
    from fedlab.workload.workload import Configuration

_LARGEST_POOL = 100_000


@dataclass(frozen=True, kw_only=True)
class FedKSeedOptions(CohortRules):
    """The options of FedKSeed: the rules of a cohort, the size of the `pool`, and the `distribution` of its directions.

    The authors' pool has 4,096 seeds, in their examples 1,024. Raises ValueError for a value that cannot be.
    """

    pool: int = 4096
    distribution: Distribution = "gaussian"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 1 <= self.pool <= _LARGEST_POOL:
            raise ValueError(f"pool: {self.pool}, expected 1 to {_LARGEST_POOL}")
        if self.distribution not in get_args(Distribution):
            accepted = ", ".join(get_args(Distribution))
            raise ValueError(f"distribution: {self.distribution!r}, expected one of {accepted}")
        if self.late == "carry":
            raise ValueError("late: 'carry' is not for fedkseed, which averages the replies of one round")


class FedKSeed(AttachedStrategy):
    """Average how far clients have gone along the directions of a pool, weighted by their examples.

    The first time a client is asked it is sent the first model, which it keeps, and every time how far the global model
    has gone from there: one number for each seed, whatever the size of the model. Clients of the kind `forward` make
    local steps along directions of the pool and answer how far they went along each.

    The options are those of `FedKSeedOptions`.
    """

    takes = frozenset({"scalars"})

    @takes_options_of(FedKSeedOptions)
    def __init__(self, **options: Any) -> None:
        self._rules = FedKSeedOptions(**options)
        self.clients_per_round = self._rules.clients_per_round
        self.max_scalars = self._rules.pool
        self._first: Arrays | None = None
        self._walked = np.zeros(self._rules.pool, np.float32)
        self._have_first: frozenset[int] = frozenset()  # partitions
        self._configuration: Configuration = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask this round's cohort for steps; send the first model to those that have not got it."""
        self._configuration = passed_configuration(config)
        if self._first is None:
            self._first = {name: array.copy() for name, array in views_of(arrays).items()}
        nodes = draw_cohort(
            list(grid.get_node_ids()), size=self._rules.asked, seed=self.server.seed, server_round=server_round
        )
        late = [node for node in nodes if self.server.partitions[node] not in self._have_first]
        others = [node for node in nodes if node not in set(late)]
        return self._messages(late, server_round) + self._messages(others, server_round, kept=True)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model after the mean of the clients' ways, None if there are too few replies."""
        assert self._first is not None, "configure_train comes first"
        updates = [update for update in self._updates(replies) if self._is_answer(update)]
        self._have_first |= {self.server.partitions[update.node_id] for update in updates}
        if len(updates) < self._rules.min_replies:
            self.server.ledger.fail(
                MessageType.TRAIN,
                f"{len(updates)} updates to average, {self._rules.min_replies} needed: the model stays",
            )
            return None, None
        total = sum(update.num_examples for update in updates)
        gone = sum(next(iter(update.arrays.values())) * (update.num_examples / total) for update in updates)
        self._walked = (self._walked + gone).astype(np.float32)
        return to_record(self._model()), None

    def state(self) -> dict[str, Any]:
        """Return what the next round depends on."""
        return {"first": self._first, "walked": self._walked, "have_first": sorted(self._have_first)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._first, self._walked = state["first"], np.array(state["walked"], np.float32)
        self._have_first = frozenset(state["have_first"])

    def _order(self) -> PoolOrder:
        return PoolOrder(walked=self._walked, distribution=self._rules.distribution)

    def _model(self) -> "Arrays":
        assert self._first is not None, "configure_train comes first"
        layout = layout_of(self._first)
        moved = named(self._order().model(flat(self._first), self.server.seed), layout)
        return {name: moved[name] for name in self._first}

    def _messages(self, nodes: Sequence[int], server_round: int, *, kept: bool = False) -> list[Message]:
        """Return orders with the first model, which clients `kept`, and the way from there."""
        assert self._first is not None, "configure_train comes first"
        content = order_content(
            to_record(self._first),
            server_round=server_round,
            configuration=self._configuration,
            terms=self._rules.terms(self.clients_per_round),
        )
        content = as_kept(content) if kept else content
        add_pool(content, self._order())
        return [Message(content, node, MessageType.TRAIN) for node in nodes]

    def _updates(self, replies: Iterable[Message]) -> list[Update]:
        return [
            read_update(reply, configuration=self._configuration, arrives_seconds=0.0)
            for reply in replies
            if not reply.has_error()
        ]

    def _is_answer(self, update: Update) -> bool:
        """Tell whether a reply has a number for each seed of the pool; note in the ledger if not."""
        count = next(iter(update.arrays.values())).size
        if count != self._rules.pool:
            reason = f"turned away: has {count} numbers, the pool has {self._rules.pool} seeds"
            self.server.ledger.refuse(self.server.partitions[update.node_id], reason)
        return count == self._rules.pool
