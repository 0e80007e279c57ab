"""The round loop: any Flower strategy, stopped, measured, recorded and checkpointed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.common.arrays import Arrays, in_dtypes_of
from fedlab.common.seeds import seed_for
from fedlab.data.class_measures import client_measures
from fedlab.data.metrics import labels_of, others_of
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import seed_strategies
from fedlab.messages.orders import CONFIGURATION, packed_configuration
from fedlab.messages.pack import to_record
from fedlab.results.recorder import Observer
from fedlab.results.records import Dropout, RoundRecord, group_records
from fedlab.server.context import Searching, Server
from fedlab.server.divergence import DivergenceRule, best_loss
from fedlab.server.prefill import prefill
from fedlab.server.strategy_calls import aggregated_arrays, ask, asked_orders, check_like, read_model
from fedlab.workload.workload import Configuration

# Reasons to lose a client's work that may pass by themselves, where clients are not hostile.
PASSES: tuple[Dropout, ...] = ("gone", "late")


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a run is over: at whichever comes first; `patience` is of validations without a better one."""

    rounds: int | None = None
    simulated_seconds: float | None = None
    target_accuracy: float | None = None
    patience: int | None = None

    def next_is_last(self, state: "RunState") -> bool:
        """Tell whether the next round is known to be the last."""
        return self.rounds is not None and state.server_round == self.rounds - 1

    def holds(self, state: "RunState", seconds: float) -> bool:
        """Tell whether the run is over, at this second of its clock."""
        reached = state.validation_accuracy or 0.0
        return (
            (self.rounds is not None and state.server_round >= self.rounds)
            or (self.simulated_seconds is not None and seconds >= self.simulated_seconds)
            or (self.target_accuracy is not None and reached >= self.target_accuracy)
            or (self.patience is not None and state.validations_since_best >= self.patience)
        )


@dataclass(frozen=True, kw_only=True)
class BestModel:
    """The model with the highest validation accuracy so far, the earliest of equals; `validations` counts its own."""

    server_round: int
    validations: int
    validation_accuracy: float
    arrays: Arrays
    configuration: Configuration


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The state of a run after a round: the global model with its configuration, and the last measured accuracies.

    `lowest_loss` is that of training over the rounds so far; once it `diverged`, that is not said again.
    """

    server_round: int
    arrays: Arrays
    configuration: Configuration
    validations: int = 0
    tests: int = 0
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    lowest_loss: float | None = None
    diverged: bool = False
    best: BestModel | None = None

    @property
    def validations_since_best(self) -> int:
        """Return how many validations there were after that of the best model."""
        return 0 if self.best is None else self.validations - self.best.validations

    def validated(self, accuracy: float) -> "RunState":
        """Return the state with another validation of its model."""
        measured = replace(self, validation_accuracy=accuracy, validations=self.validations + 1)
        if self.best is not None and accuracy <= self.best.validation_accuracy:
            return measured
        best = BestModel(
            server_round=self.server_round,
            validations=measured.validations,
            validation_accuracy=accuracy,
            arrays=self.arrays,
            configuration=self.configuration,
        )
        return replace(measured, best=best)


class Save(Protocol):
    """What the end of a round is told to, to keep it, unless the run ends with it."""

    def __call__(self, state: RunState, *, next_is_last: bool) -> None:
        """Keep the state of the run; `next_is_last` if the next round is known to be the last."""


@dataclass(frozen=True, kw_only=True)
class RoundLoop:
    """Runs rounds of a strategy over a grid.

    `validation_every` counts rounds, `test_every` counts validations (0: at the end only), `clients_every` the rounds
    between scores of all clients (0: none). The grid enters its bills in
    the server's ledger. After every round `observer` is told of it, and after all but the last `save` is given the
    state: a run does more in its last round, so one that goes on after all must do that round again. With `prefills`
    all clients fill their caches before the first round. A strategy that never `evaluates` is not asked whom to ask for
    it, and the model is not packed for that.

    A strategy is handed the configuration of the global model in the `config` it passes on to clients. The model that
    it returns is cast to the dtypes of the model it was handed, here and nowhere else: Flower's own strategies average
    float32 in double precision.

    A round in which no client's work can be used ends the run, unless the reason of one of them `passes` by itself.
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
    clients_every: int = 0
    divergence: DivergenceRule = field(default_factory=DivergenceRule)
    passes: Collection[Dropout] = PASSES

    def run(self, state: RunState) -> RunState:
        """Run from a state until the stop rule holds, and return the last state.

        Raises:
            RunFailedError: no client's work could be used in a round, for a reason that does not pass, or training
                diverged.
        """
        while not self._over(state):
            state = self._round(state)
            if not self._over(state):
                self.save(state, next_is_last=self.stop.next_is_last(state))
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
        after, flaw = self._judged(after)
        if arrays is None and self._over(after):
            arrays = self._conclude(before, server_round)
            after = replace(after, arrays=arrays or before.arrays)
        after = replace(after, configuration=self._configuration(before))
        after, measured = self._measured(after, changed=arrays is not None)
        self.observer.on_round(self._record(before, after, measured))
        if flaw and self.divergence.action == "stop":
            raise RunFailedError(f"round {server_round}: {flaw}; on_divergence = 'warn' would go on")
        return after

    def _judged(self, state: RunState) -> tuple[RunState, str | None]:
        """Note in the ledger that training diverges, if it was not known before; return what is wrong as well."""
        loss = best_loss(self.server.ledger.clients)
        flaw = None if state.diverged else self.divergence.flaw(loss, state.lowest_loss)
        if flaw:
            self.server.ledger.note(flaw)
        known = [each for each in (loss, state.lowest_loss) if each is not None]
        return replace(state, lowest_loss=min(known, default=None), diverged=state.diverged or flaw is not None), flaw

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
        self._check_used(server_round)
        model = before.arrays if trained is None else self._model(trained, before)
        if trained is not None and (flaw := self.divergence.model_flaw(model)):
            raise RunFailedError(f"round {server_round}: {flaw}")
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
            reason = self._explained(replies[0].error.reason or "") if replies else "nothing came back in time"
            raise RunFailedError(f"round {server_round}: none of {len(orders)} clients replied: {reason}")
        return replies

    def _check_used(self, server_round: int) -> None:
        """Raise `RunFailedError` if the strategy turned away the work of all clients, and will do so again."""
        clients = self.server.ledger.clients
        if clients and all(client.error is not None for client in clients) and not self._may_come_back():
            reason = self._explained(clients[0].error or "")
            raise RunFailedError(
                f"round {server_round}: the work of none of {len(clients)} clients can be used: {reason}"
            )

    def _explained(self, reason: str) -> str:
        """Return why work cannot be used; if it is not finite, with what to do about that."""
        return f"{reason}; {self.divergence.advice}" if "finite" in reason else reason

    def _may_come_back(self) -> bool:
        """Tell whether clients were lost to this round only."""
        return any(client.dropout in self.passes for client in self.server.ledger.clients)

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

    def _measured(self, state: RunState, *, changed: bool) -> tuple[RunState, "_Measured"]:
        """Measure the model if it changed and this round validates, or if the run ends.

        Return what is measured beside the scores, too.
        """
        measure, others, labels = self.server.scores or self.server.measure, {}, {}
        due = changed and state.server_round % self.validation_every == 0
        if due or (changed and self._over(state)):
            accuracy = measure(state.arrays, "validation", state.configuration)
            state, others["validation"] = state.validated(float(accuracy)), others_of(accuracy)
            due = True
        tests = due and self.test_every and state.validations % self.test_every == 0
        if tests or self._over(state):
            accuracy = measure(state.arrays, "test", state.configuration)
            state = replace(state, test_accuracy=float(accuracy), tests=state.tests + 1)
            others["test"] = others_of(accuracy)
            labels = labels_of(accuracy) if self._over(state) else {}
        if self._measures_clients(state) and changed and self.server.client_scores is not None:
            others["clients"] = client_measures(self.server.client_scores(state.arrays, state.configuration))
        return state, _Measured({split: each for split, each in others.items() if each}, labels)

    def _measures_clients(self, state: RunState) -> bool:
        return self.clients_every > 0 and (state.server_round % self.clients_every == 0 or self._over(state))

    def _record(self, before: RunState, after: RunState, found: "_Measured") -> RoundRecord:
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
            measures=found.measures,
            labels=found.labels,
        )


@dataclass(frozen=True)
class _Measured:
    """What is measured of a model beside its scores: by split and name, and of each label."""

    measures: dict[str, dict[str, float]]
    labels: dict[str, dict[str, float]]


def _config(server_round: int, configuration: Configuration) -> ConfigRecord:
    """Return what the strategy passes on to clients: the round, and what is trained."""
    return ConfigRecord({"server-round": server_round, CONFIGURATION: packed_configuration(configuration)})
