"""AdaFL: search the adapter configuration while training, by progressive upgrades and sideline trials.

Source: "Efficient Federated Learning for Modern NLP", MobiCom'23 (arXiv 2205.10162).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy

from fedlab.adapterconfig import AdapterConfig
from fedlab.messages import from_record, order_content, read_cost, to_record
from fedlab.models.arrays import Arrays, grow
from fedlab.records import CandidateRecord, TrialRecord
from fedlab.search import GROUPS, AdapterSearch, SearchSpace
from fedlab.seeds import generator
from fedlab.server import Server
from strategies.cohort import draw_cohort


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of a trial: its model so far, and what it has spent."""

    config: AdapterConfig
    arrays: Arrays
    running: bool = True
    rounds: int = 0
    seconds: float = 0.0
    joules: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial under way."""

    started_seconds: float
    budget_seconds: float
    groups: Mapping[str, Group]

    @property
    def running(self) -> bool:
        """Tell whether any group has time for another round."""
        return any(group.running for group in self.groups.values())


class AdaFL(Strategy):
    """Run trials one after the other, each from where the last one's winner stands.

    A trial forks the clock into one lane a group. Every server round asks the clients of all groups that still have
    time for another round like their last; when none has, the groups are measured on the validation split, the most
    accurate wins and all go on from its configuration and weights. Every group runs at least one round, however long;
    one that got no reply at all ends its trial there. The search starts from the experiment's `client.depth` and
    `client.width`.
    """

    def __init__(
        self,
        *,
        clients_per_round: int = 15,
        base_seconds: float = 60.0,
        expand: float = 4.0,
        depth_step: int = 1,
        width_step: int = 8,
        max_width: int = 64,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        for name, value in options.items():
            if value <= 0:
                raise ValueError(f"{name}: {value} is not positive")
        if clients_per_round < len(GROUPS):
            raise ValueError(f"clients_per_round: {clients_per_round} cannot be shared out among {len(GROUPS)} groups")
        self.clients_per_round = clients_per_round
        self._options = options
        self._server: Server | None = None
        self._search: AdapterSearch | None = None
        self._trial: Trial | None = None
        self._trial_number: int | None = None
        self._budget_seconds: float | None = None
        self._group_of: dict[int, str] = {}

    @property
    def configuration(self) -> AdapterConfig:
        """Return the configuration of the global model."""
        return self.search.current

    @property
    def trial(self) -> int | None:
        """Return the number of the trial the last round belonged to, counted from 1."""
        return self._trial_number

    @property
    def budget_seconds(self) -> float | None:
        """Return the time each group of that trial has."""
        return self._budget_seconds

    @property
    def server(self) -> Server:
        """Return the server's side of the run."""
        assert self._server is not None, "attach comes first"
        return self._server

    @property
    def search(self) -> AdapterSearch:
        """Return where the search stands."""
        assert self._search is not None, "attach comes first"
        return self._search

    def attach(self, server: Server) -> None:
        """Take the server's side of the run, and start the search at the initial configuration."""
        rules = {name: value for name, value in self._options.items() if name != "clients_per_round"}
        self._server = server
        self._search = AdapterSearch(space=SearchSpace(blocks=server.blocks, **rules), current=server.initial)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the clients of every group that still has time; start a trial where none is under way."""
        if self._trial is None:
            self._trial = self._start_trial(from_record(arrays))
        groups = self._trial.groups
        cohorts = self._cohorts(server_round, grid)
        running = [name for name, group in groups.items() if group.running]
        self._group_of = {node: name for name in running for node in cohorts[name]}
        contents = {
            name: order_content(to_record(groups[name].arrays), server_round=server_round, group=name)
            for name in running
        }
        return [Message(contents[name], node, MessageType.TRAIN) for node, name in self._group_of.items()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average each group's replies; when the trial is over, return the winner's arrays."""
        assert self._trial is not None, "configure_train comes first"
        by_group: dict[str, list[Message]] = {name: [] for name in self._group_of.values()}
        for reply in replies:
            if not reply.has_error():
                by_group[self._group_of[reply.metadata.src_node_id]].append(reply)
        groups = dict(self._trial.groups)
        for name, answers in by_group.items():
            groups[name] = self._after_round(server_round, name, groups[name], answers)
        self._trial = replace(self._trial, groups=groups)
        return (None if self._trial.running else self.conclude(server_round)), None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask no client: trials are judged on the server's validation split."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing, for nothing was asked."""
        return None

    def summary(self) -> None:
        """Say nothing: the run's own records tell more."""

    def conclude(self, server_round: int) -> ArrayRecord | None:
        """Judge the groups, take over the winner's configuration and weights, and end the trial."""
        if self._trial is None:
            return None
        trial, clock = self._trial, self.server.clock
        accuracies = {name: self.server.measure(group.arrays, "validation") for name, group in trial.groups.items()}
        winner, self._search = self.search.observe(accuracies)
        clock.join(at_least=trial.started_seconds + (0.0 if trial.running else trial.budget_seconds))
        self._trial = None
        self.server.on_trial(
            TrialRecord(
                trial=self.search.trials,
                server_round=server_round,
                started_seconds=trial.started_seconds,
                ended_seconds=clock.now(),
                budget_seconds=trial.budget_seconds,
                candidates=[_candidate(name, group, accuracies[name]) for name, group in trial.groups.items()],
                winner=winner,
                depth=self.search.current.depth,
                width=self.search.current.width,
            )
        )
        return to_record(trial.groups[winner].arrays)

    def state(self) -> dict[str, Any]:
        """Return where the search and the trial under way stand."""
        trial = self._trial
        return {
            "current": vars(self.search.current),
            "trials": self.search.trials,
            "trial_number": self._trial_number,
            "budget_seconds": self._budget_seconds,
            "trial": None if trial is None else _trial_state(trial),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._search = replace(self.search, current=AdapterConfig(**state["current"]), trials=state["trials"])
        self._trial_number = state["trial_number"]
        self._budget_seconds = state["budget_seconds"]
        self._trial = None if state["trial"] is None else _trial_from(state["trial"])

    def _start_trial(self, arrays: Arrays) -> Trial:
        self._trial_number = self.search.trials + 1
        groups = {
            name: Group(config=config, arrays=self._grown(arrays, name, config))
            for name, config in self.search.propose().items()
        }
        clock = self.server.clock
        clock.fork(list(groups))
        self._budget_seconds = self.search.budget_seconds()
        return Trial(started_seconds=clock.now(), budget_seconds=self._budget_seconds, groups=groups)

    def _grown(self, arrays: Arrays, name: str, config: AdapterConfig) -> Arrays:
        draws = generator(self.server.seed, f"growth-{name}", self.search.trials)
        return grow(arrays, config, blocks=self.server.blocks, generator=draws)

    def _cohorts(self, server_round: int, grid: Grid) -> dict[str, list[int]]:
        """Draw this round's clients and share them out; a group that has ended leaves its share idle."""
        assert self._trial is not None
        names = list(self._trial.groups)
        nodes = draw_cohort(
            list(grid.get_node_ids()),
            size=self.clients_per_round,
            seed=self.server.seed,
            server_round=server_round,
        )
        return {name: nodes[place :: len(names)] for place, name in enumerate(names)}

    def _after_round(self, server_round: int, name: str, group: Group, answers: Sequence[Message]) -> Group:
        assert self._trial is not None
        if not answers:
            return replace(group, running=False)
        averaged, _ = FedAvg(fraction_evaluate=1.0).aggregate_train(server_round, answers)
        assert averaged is not None
        costs = [read_cost(answer) for answer in answers]
        round_seconds = max(cost.seconds for cost in costs)
        used = self.server.clock.now(name) - self._trial.started_seconds
        # The slack is for sums of floats: ten rounds of 6 s fit into 60 s.
        fits = used + round_seconds <= self._trial.budget_seconds * (1 + 1e-9)
        return replace(
            group,
            arrays=from_record(averaged),
            running=fits,
            rounds=group.rounds + 1,
            seconds=used,
            joules=group.joules + sum(cost.joules for cost in costs),
            bytes_down=group.bytes_down + sum(cost.bytes_down for cost in costs),
            bytes_up=group.bytes_up + sum(cost.bytes_up for cost in costs),
        )


def _candidate(name: str, group: Group, accuracy: float) -> CandidateRecord:
    return CandidateRecord(
        group=name,
        depth=group.config.depth,
        width=group.config.width,
        rounds=group.rounds,
        seconds=group.seconds,
        joules=group.joules,
        bytes_down=group.bytes_down,
        bytes_up=group.bytes_up,
        validation_accuracy=accuracy,
    )


def _trial_state(trial: Trial) -> dict[str, Any]:
    groups = {name: vars(group) | {"config": vars(group.config)} for name, group in trial.groups.items()}
    return vars(trial) | {"groups": groups}


def _trial_from(state: Mapping[str, Any]) -> Trial:
    groups = {
        name: Group(**{**group, "config": AdapterConfig(**group["config"])}) for name, group in state["groups"].items()
    }
    return Trial(**{**state, "groups": groups})
