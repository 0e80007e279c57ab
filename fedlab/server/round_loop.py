"""The round loop: any Flower strategy, stopped, measured, recorded and checkpointed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.common.arrays import Arrays, in_dtypes_of
from fedlab.common.seeds import seed_for
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import seed_strategies
from fedlab.messages.orders import CONFIGURATION, packed_configuration
from fedlab.messages.pack import to_record
from fedlab.results.recorder import Observer
from fedlab.results.records import RoundRecord, group_records
from fedlab.server.context import Searching, Server
from fedlab.server.prefill import prefill
from fedlab.server.strategy_calls import aggregated_arrays, ask, asked_orders, check_like, read_model
from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a run is over: at whichever comes first."""

    rounds: int | None = None
    simulated_seconds: float | None = None
    target_accuracy: float | None = None

    def holds(self, state: "RunState", seconds: float) -> bool:
        """Tell whether the run is over, at this second of its clock."""
        reached = state.validation_accuracy or 0.0
        return (
            (self.rounds is not None and state.server_round >= self.rounds)
            or (self.simulated_seconds is not None and seconds >= self.simulated_seconds)
            or (self.target_accuracy is not None and reached >= self.target_accuracy)
        )


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The state of a run after a round: the global model with its configuration, and the last measured accuracies."""

    server_round: int
    arrays: Arrays
    configuration: Configuration
    validations: int = 0
    tests: int = 0
    validation_accuracy: float | None = None
    test_accuracy: float | None = None


class Save(Protocol):
    """What a round's end is told to, to keep it."""

    def __call__(self, state: RunState, *, final: bool) -> None:
        """Keep the state of the run; `final` after its last round."""


@dataclass(frozen=True, kw_only=True)
class RoundLoop:
    """Runs rounds of a strategy over a grid.

    `validation_every` counts rounds, `test_every` counts validations (0: at the end only). The grid enters its bills in
    the server's ledger. After every round `observer` is told of it and `save` is given the state. With `prefills` all
    clients fill their caches before the first round. A strategy that never `evaluates` is not asked whom to ask for it,
    and the model is not packed for that.

    A strategy is handed the configuration of the global model in the `config` it passes on to clients. The model that
    it returns is cast to the dtypes of the model it was handed, here and nowhere else: Flower's own strategies average
    float32 in double precision.
    """

    strategy: Strategy
    grid: Grid
    server: Server
    stop: StopRule
    validation_every: int
    test_every: int
    observer: Observer
    save: Save
    wall_seconds: Callable[[], float]
    prefills: bool = False
    evaluates: bool = True

    def run(self, state: RunState) -> RunState:
        """Run from a state until the stop rule holds, and return the last state.

        Raises:
            RunFailedError: no client replied in a round, for another reason than being gone or late.
        """
        while not self._over(state):
            state = self._round(state)
            self.save(state, final=self._over(state))
        return state

    def _over(self, state: RunState) -> bool:
        return self.stop.holds(state, self.server.clock.latest())

    def _round(self, before: RunState) -> RunState:
        server_round = before.server_round + 1
        self.server.ledger.open()
        try:
            arrays = self._train(server_round, before)
        finally:  # a round that breaks off has records of its clients, too
            self.observer.on_clients(self.server.ledger.clients)
        after = replace(before, server_round=server_round, arrays=arrays or before.arrays)
        if arrays is None and self._over(after):
            arrays = self._conclude(before, server_round)
            after = replace(after, arrays=arrays or before.arrays)
        after = replace(after, configuration=self._configuration(before))
        after = self._measured(after, changed=arrays is not None)
        self.observer.on_round(self._record(before, after))
        return after

    def _conclude(self, before: RunState, server_round: int) -> Arrays | None:
        record = ask(self.strategy, "conclude", server_round) if isinstance(self.strategy, Searching) else None
        return None if record is None else self._model(record, before)

    def _train(self, server_round: int, before: RunState) -> Arrays | None:
        """Run one round of training, and of federated evaluation if the strategy wants it; return the new model."""
        if server_round == 1 and self.prefills:
            prefill(self.grid, before.configuration)
        seed_strategies(seed_for(self.server.seed, "flower", server_round))
        config = _config(server_round, before.configuration)
        orders = self._orders("configure_train", server_round, to_record(before.arrays), config)
        replies = self._answers(server_round, orders)
        trained = aggregated_arrays(self.strategy, server_round, replies)
        model = before.arrays if trained is None else self._model(trained, before)
        if self.evaluates:
            self._evaluate(server_round, to_record(model), _config(server_round, self._configuration(before)))
        return None if trained is None else model

    def _configuration(self, before: RunState) -> Configuration:
        """Return the configuration of the global model, which only a strategy that searches changes."""
        return self.strategy.configuration if isinstance(self.strategy, Searching) else before.configuration

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

    def _evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord) -> None:
        orders = self._orders("configure_evaluate", server_round, arrays, config)
        if orders:
            ask(self.strategy, "aggregate_evaluate", server_round, self.grid.send_and_receive(orders))

    def _orders(self, method: str, server_round: int, arrays: ArrayRecord, config: ConfigRecord) -> list[Message]:
        return asked_orders(self.strategy, method, server_round, (arrays, config), self.grid, self.server.partitions)

    def _model(self, record: ArrayRecord, before: RunState) -> Arrays:
        """Return the model that the strategy made of the one before; a search may have changed its shapes."""
        model = read_model(self.strategy, record)
        if not isinstance(self.strategy, Searching):
            check_like(self.strategy, model, before.arrays)
        return in_dtypes_of(model, before.arrays)

    def _measured(self, state: RunState, *, changed: bool) -> RunState:
        """Measure the model if it changed and this round validates, or if the run ends."""
        measure = self.server.measure
        due = changed and state.server_round % self.validation_every == 0
        if due or (changed and self._over(state)):
            accuracy = measure(state.arrays, "validation", state.configuration)
            state = replace(state, validation_accuracy=accuracy, validations=state.validations + 1)
            due = True
        tests = due and self.test_every and state.validations % self.test_every == 0
        if tests or self._over(state):
            accuracy = measure(state.arrays, "test", state.configuration)
            state = replace(state, test_accuracy=accuracy, tests=state.tests + 1)
        return state

    def _record(self, before: RunState, after: RunState) -> RoundRecord:
        searching = self.strategy if isinstance(self.strategy, Searching) else None
        measured = after.validations > before.validations
        return RoundRecord(
            server_round=after.server_round,
            trial=searching.trial if searching else None,
            simulated_seconds=self.server.clock.latest(),
            configuration=dict(after.configuration),
            groups=group_records(self.server.ledger.clients, self.server.ledger.failed),
            validation_accuracy=after.validation_accuracy if measured else None,
            test_accuracy=after.test_accuracy if after.tests > before.tests else None,
            wall_seconds=self.wall_seconds(),
            budget_seconds=searching.budget_seconds if searching else None,
            notes=list(self.server.ledger.notes),
        )


def _config(server_round: int, configuration: Configuration) -> ConfigRecord:
    """Return what the strategy passes on to clients: the round, and what is trained."""
    return ConfigRecord({"server-round": server_round, CONFIGURATION: packed_configuration(configuration)})
