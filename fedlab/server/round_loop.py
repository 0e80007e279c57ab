"""The round loop: any Flower strategy, stopped, measured, recorded and checkpointed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.common.arrays import Arrays
from fedlab.common.seeds import seed_for
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import seed_strategies
from fedlab.messages.orders import CONFIGURATION, packed_configuration
from fedlab.messages.pack import from_record, to_record
from fedlab.models.peft.bottleneck import configuration_of
from fedlab.results.recorder import Observer
from fedlab.results.records import RoundRecord, group_records
from fedlab.server.context import Searching, Server
from fedlab.server.prefill import prefill
from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a run is over: at whichever comes first."""

    rounds: int | None = None
    simulated_seconds: float | None = None
    target_accuracy: float | None = None

    def holds(self, standing: "RunState", seconds: float) -> bool:
        """Tell whether the run is over."""
        reached = standing.validation_accuracy or 0.0
        return (
            (self.rounds is not None and standing.server_round >= self.rounds)
            or (self.simulated_seconds is not None and seconds >= self.simulated_seconds)
            or (self.target_accuracy is not None and reached >= self.target_accuracy)
        )


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands after a round; accuracies are the last ones measured."""

    server_round: int
    arrays: Arrays
    validations: int = 0
    tests: int = 0
    validation_accuracy: float | None = None
    test_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoundLoop:
    """Runs rounds of a strategy over a grid.

    `validation_every` counts rounds, `test_every` counts validations (0: at the end only). The grid enters its bills in
    the server's ledger; `configuration` is what is trained where the strategy does not say. After every round
    `observer` is told of it and `save` is given the state. With `prefills` the first round begins with filling the
    caches of all clients.
    """

    strategy: Strategy
    grid: Grid
    server: Server
    stop: StopRule
    validation_every: int
    test_every: int
    configuration: Configuration
    observer: Observer
    save: Callable[[RunState], None]
    wall_seconds: Callable[[], float]
    prefills: bool = False

    def run(self, standing: RunState) -> RunState:
        """Run from a standing until the stop rule holds, and return the last one.

        Raises:
            RunFailedError: no client replied in a round, and not because they were gone or late.
        """
        while not self._over(standing):
            standing = self._round(standing)
            self.save(standing)
        return standing

    def _over(self, standing: RunState) -> bool:
        return self.stop.holds(standing, self.server.clock.latest())

    def _round(self, before: RunState) -> RunState:
        server_round = before.server_round + 1
        self.server.ledger.open()
        try:
            arrays = self._train(server_round, before.arrays)
        finally:  # what clients did is known even of a round that breaks off
            self.observer.on_clients(self.server.ledger.clients)
        after = replace(before, server_round=server_round, arrays=arrays or before.arrays)
        if arrays is None and self._over(after):
            arrays = self._conclude(server_round)
            after = replace(after, arrays=arrays or before.arrays)
        after = self._measured(after, changed=arrays is not None)
        self.observer.on_round(self._record(before, after))
        return after

    def _conclude(self, server_round: int) -> Arrays | None:
        record = self.strategy.conclude(server_round) if isinstance(self.strategy, Searching) else None
        return None if record is None else from_record(record)

    def _train(self, server_round: int, arrays: Arrays) -> Arrays | None:
        """Run one round of training, and of federated evaluation if the strategy wants it; return the new model."""
        if server_round == 1 and self.prefills:
            prefill(self.grid, self.configuration)
        seed_strategies(seed_for(self.server.seed, "flower", server_round))
        config = self._config(server_round)
        record = to_record(arrays)
        orders = self.strategy.configure_train(server_round, record, config, self.grid)
        replies = self._answers(server_round, list(orders))
        trained, _ = self.strategy.aggregate_train(server_round, replies)
        model = arrays if trained is None else from_record(trained)
        self._evaluate(server_round, to_record(model))
        return None if trained is None else model

    def _config(self, server_round: int) -> ConfigRecord:
        """Return what the strategy passes on to clients: the round, and what is trained."""
        return ConfigRecord({"server-round": server_round, CONFIGURATION: packed_configuration(self.configuration)})

    def _answers(self, server_round: int, orders: Sequence[Message]) -> list[Message]:
        if not orders:
            raise RunFailedError(f"round {server_round}: the strategy asked no client")
        replies = list(self.grid.send_and_receive(orders))
        if all(reply.has_error() for reply in replies) and not self._may_come_back():
            reason = replies[0].error.reason if replies else "nothing came back in time"
            raise RunFailedError(f"round {server_round}: none of {len(orders)} clients replied: {reason}")
        return replies

    def _may_come_back(self) -> bool:
        """Tell whether clients were lost to this round only; one whose reply was refused may send a better one."""
        return any(client.dropout in ("gone", "late", "refused") for client in self.server.ledger.clients)

    def _evaluate(self, server_round: int, arrays: ArrayRecord) -> None:
        config = self._config(server_round)
        orders = list(self.strategy.configure_evaluate(server_round, arrays, config, self.grid))
        if orders:
            self.strategy.aggregate_evaluate(server_round, self.grid.send_and_receive(orders))

    def _measured(self, standing: RunState, *, changed: bool) -> RunState:
        """Measure the model if it changed and its turn has come, or if this is the end."""
        measure = self.server.measure
        due = changed and standing.server_round % self.validation_every == 0
        if due or (changed and self._over(standing)):
            accuracy = measure(standing.arrays, "validation")
            standing = replace(standing, validation_accuracy=accuracy, validations=standing.validations + 1)
            due = True
        tests = due and self.test_every and standing.validations % self.test_every == 0
        if tests or self._over(standing):
            standing = replace(standing, test_accuracy=measure(standing.arrays, "test"), tests=standing.tests + 1)
        return standing

    def _record(self, before: RunState, after: RunState) -> RoundRecord:
        searching = self.strategy if isinstance(self.strategy, Searching) else None
        config = configuration_of(after.arrays, default_width=int(self.configuration.get("width", 1)))
        config = searching.configuration if searching else config
        measured = after.validations > before.validations
        return RoundRecord(
            server_round=after.server_round,
            trial=searching.trial if searching else None,
            simulated_seconds=self.server.clock.latest(),
            depth=config.depth,
            width=config.width,
            groups=group_records(self.server.ledger.clients, self.server.ledger.failed),
            validation_accuracy=after.validation_accuracy if measured else None,
            test_accuracy=after.test_accuracy if after.tests > before.tests else None,
            wall_seconds=self.wall_seconds(),
            budget_seconds=searching.budget_seconds if searching else None,
            notes=list(self.server.ledger.notes),
        )
