"""FedAvg at one fixed configuration, with cohorts drawn by the experiment's seed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid

from fedlab.messages.npy import views_of
from fedlab.messages.orders import order_content, passed_configuration
from fedlab.messages.updates import Update, restored
from strategies.aggregate import TAKES, busy_nodes, gather
from strategies.base import AttachedStrategy, takes_options_of
from strategies.cohort import CohortRules, draw_cohort

if TYPE_CHECKING:
    from fedlab.common.arrays import Arrays
    from fedlab.workload.workload import Configuration


class FedAvg(AttachedStrategy):
    """Average what `clients_per_round` clients send back, weighted by their examples (McMahan et al. 2017).

    The options are those of `strategies.cohort.CohortRules`.
    """

    takes = TAKES

    @takes_options_of(CohortRules)
    def __init__(self, **options: Any) -> None:
        self._rules = CohortRules(**options)
        self.clients_per_round = self._rules.clients_per_round
        self._coming: tuple[Update, ...] = ()
        self._sent: Arrays | None = None
        self._configuration: Configuration = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask this round's cohort to train the global model."""
        self._sent, self._configuration = views_of(arrays), passed_configuration(config)
        nodes = draw_cohort(
            list(grid.get_node_ids()),
            size=self._rules.asked,
            seed=self.server.seed,
            server_round=server_round,
            busy=busy_nodes(self._coming, self.server.clock.now()),
        )
        content = order_content(
            arrays,
            server_round=server_round,
            configuration=self._configuration,
            terms=self._rules.terms(self.clients_per_round),
        )
        return [Message(content, node, MessageType.TRAIN) for node in nodes]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the average of the usable replies, None if there are too few."""
        assert self._sent is not None, "configure_train comes first"
        gathered = gather(
            replies,
            self._sent,
            coming=self._coming,
            rules=self._rules,
            server=self.server,
            group=MessageType.TRAIN,
            configuration=self._configuration,
            now_seconds=self.server.clock.now(),
            read=self._read,
        )
        self._coming = gathered.coming
        return gathered.arrays, None

    def _read(self, update: Update) -> Update:
        """Return an update as it is averaged."""
        return update

    def state(self) -> dict[str, Any]:
        """Return the updates that have not arrived yet."""
        return {"coming": [update.state() for update in self._coming]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._coming = tuple(restored(update) for update in state["coming"])
