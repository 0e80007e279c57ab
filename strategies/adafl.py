"""AdaFL: search the configuration of adapters or LoRA while training, by progressive upgrades and sideline trials.

Source: "Efficient Federated Learning for Modern NLP", MobiCom'23 (arXiv 2205.10162).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid

from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.messages.updates import Update, restored
from fedlab.models.peft.base import SET, GrowingSet, with_axes
from fedlab.results.records import CandidateRecord, TrialRecord
from fedlab.server.context import Server
from fedlab.workload.workload import Configuration
from strategies.adapter_search import GROUPS, STAYS, AdapterSearch, SearchSpace
from strategies.aggregate import TAKES, busy_nodes, fits, gather
from strategies.base import AttachedStrategy, takes_options_of
from strategies.cohort import CohortRules, draw_cohort

_MOST: Mapping[str, float] = {
    "base_seconds": 1e12,
    "expand": 1e9,
    "depth_step": 1000,
    "width_step": 65_536,
    "max_width": 65_536,
    "min_rounds": 10**9,
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of a trial: its model so far, and what it has spent; `able` if asking it again may help."""

    config: GrowingSet
    arrays: Arrays
    able: bool = True
    asked: int = 0
    rounds: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0  # of its last round
    joules: float = 0.0
    bytes_down: int = 0
    bytes_up: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial under way, which gives the group that stays as it is at least `min_rounds`."""

    started_seconds: float
    budget_seconds: float
    min_rounds: int
    groups: Mapping[str, Group]

    @property
    def due(self) -> list[str]:
        """Return the groups that have time for another round like their last; when there is none, the trial is over."""
        return [name for name, group in self.groups.items() if group.able and self._has_time(name, group)]

    def _has_time(self, name: str, group: Group) -> bool:
        owed = group.asked == 0 or (name == STAYS and group.asked < self.min_rounds)
        until = max(self.budget_seconds, self.groups[STAYS].seconds)
        # The slack is for sums of floats: ten rounds of 6 s fit into 60 s.
        return owed or group.seconds + group.last_seconds <= until * (1 + 1e-9)


@dataclass(frozen=True, kw_only=True)
class AdaFLOptions(CohortRules):
    """The options of AdaFL: the rules of a group's cohort, the search space, and how trials end.

    Raises ValueError for a value that cannot be.
    """

    base_seconds: float = 60.0
    expand: float = 4.0
    depth_step: int = 1
    width_step: int = 8
    max_width: int = 64
    min_gain: float = 0.0
    min_rounds: int = 1
    merge_groups: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("base_seconds", "expand", "depth_step", "width_step", "max_width"):
            value, most = vars(self)[name], _MOST[name]
            if not 0 < value <= most:
                raise ValueError(f"{name}: {value} is not positive" if value <= 0 else f"{name}: {value} > {most:g}")
        if not 1 <= self.min_rounds <= _MOST["min_rounds"]:
            raise ValueError(f"min_rounds: {self.min_rounds}, expected 1 to {_MOST['min_rounds']:g}")
        if not 0 <= self.min_gain < 1:
            raise ValueError(f"min_gain: {self.min_gain}, expected an accuracy from 0 up, less than 1")
        if self.clients_per_round < len(GROUPS):
            raise ValueError(
                f"clients_per_round: {self.clients_per_round} cannot be shared out among {len(GROUPS)} groups"
            )
        super().__post_init__()

    def space(self, blocks: int, *, widest: int) -> SearchSpace:
        """Return the search space over a backbone, by its number of blocks, and the most that the size can be there."""
        return SearchSpace(
            blocks=blocks,
            depth_step=self.depth_step,
            width_step=self.width_step,
            max_width=min(self.max_width, widest),
            base_seconds=self.base_seconds,
            expand=self.expand,
            min_gain=self.min_gain,
        )


class AdaFL(AttachedStrategy):
    """Run trials one after the other, each from where the last one's winner stands.

    A trial forks the clock into one lane a group. Every server round asks the clients of all groups that still have
    time for another round like their last; when none has, the groups are measured on the validation split, the most
    accurate wins and all go on from its configuration and weights. Every group runs at least one round, however long;
    one whose clients all failed, or lack the memory, ends its trial there. The search starts from the experiment's
    `client.depth` and `client.width`. What is searched are the axes of the set that clients train, any that can grow:
    depth and width of adapters, depth and rank of LoRA, whose step and maximum are `width_step` and `max_width`, too.

    With `min_rounds` above 1 a trial lasts until the group that stays as it is has run that many, if that is longer: on
    slow boards or links a budget in seconds may hold too few rounds to tell the groups apart. (Not in the paper.)

    With `merge_groups` the groups' models are also averaged, into the winner's configuration, where they have weights
    in common; if that model is the more accurate, all go on from it. So no group's work is lost. (Not in the paper.)

    The options of `strategies.cohort.CohortRules` hold for each group, whose share of the clients is the same.
    """

    grows = True
    takes = TAKES

    @takes_options_of(AdaFLOptions)
    def __init__(self, **options: Any) -> None:
        self._rules = AdaFLOptions(**options)
        self.clients_per_round = self._rules.clients_per_round
        self._search: AdapterSearch | None = None
        self._trial: Trial | None = None
        self._trial_number: int | None = None
        self._budget_seconds: float | None = None
        self._group_of: dict[int, str] = {}
        self._coming: tuple[Update, ...] = ()

    @property
    def configuration(self) -> Configuration:
        """Return the configuration of the global model."""
        return self.search.current.configuration

    @property
    def trial(self) -> int | None:
        """Return the number of the trial the last round belonged to, counted from 1."""
        return self._trial_number

    @property
    def budget_seconds(self) -> float | None:
        """Return the time each group of that trial has."""
        return self._budget_seconds

    @property
    def search(self) -> AdapterSearch:
        """Return where the search stands."""
        assert self._search is not None, "attach comes first"
        return self._search

    def attach(self, server: Server) -> None:
        """Store the server's side of the run, and start the search at the initial configuration."""
        super().attach(server)
        initial = server.initial
        assert isinstance(initial, GrowingSet), "an experiment whose clients train other sets is refused"
        space = self._rules.space(server.blocks, widest=initial.most_size(server.sizes))
        self._search = AdapterSearch(space=space, current=initial)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the clients of every group that still has time; start a trial where none is under way."""
        if self._trial is None:
            self._trial = self._start_trial(from_record(arrays))
        groups = self._trial.groups
        cohorts = self._cohorts(server_round, grid)
        self._group_of = {node: name for name, nodes in cohorts.items() for node in nodes}
        contents = {
            name: order_content(
                to_record(groups[name].arrays),
                server_round=server_round,
                configuration=groups[name].config.configuration,
                group=name,
                terms=self._terms(name),
            )
            for name in cohorts
        }
        return [Message(contents[name], node, MessageType.TRAIN) for node, name in self._group_of.items()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average each group's replies; when the trial is over, return the winner's arrays."""
        assert self._trial is not None, "configure_train comes first"
        by_group: dict[str, list[Message]] = {name: [] for name in self._group_of.values()}
        for reply in replies:
            by_group[self._group_of[reply.metadata.src_node_id]].append(reply)
        groups = dict(self._trial.groups)
        for name, answers in by_group.items():
            groups[name] = self._after_round(name, groups[name], answers)
        self._trial = replace(self._trial, groups=groups)
        return (None if self._trial.due else self.conclude(server_round)), None

    def conclude(self, server_round: int) -> ArrayRecord | None:
        """Judge the groups, take over the winner's configuration and weights, and end the trial."""
        if self._trial is None:
            return None
        trial, clock = self._trial, self.server.clock
        accuracies = {name: self._accuracy(group.arrays, group.config) for name, group in trial.groups.items()}
        winner, self._search = self.search.observe(accuracies)
        best, merged_accuracy = trial.groups[winner].arrays, None
        if self._rules.merge_groups:
            merged = _merged(trial.groups, winner)
            merged_accuracy = self._accuracy(merged, trial.groups[winner].config)
            best = merged if merged_accuracy > accuracies[winner] else best
        clock.join(at_least=trial.started_seconds + (0.0 if trial.due else trial.budget_seconds))
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
                configuration=dict(self.configuration),
                merged_accuracy=merged_accuracy,
            )
        )
        return to_record(best)

    def state(self) -> dict[str, Any]:
        """Return where the search and the trial under way stand."""
        trial = self._trial
        return {
            "current": _axes(self.search.current),
            "trials": self.search.trials,
            "trial_number": self._trial_number,
            "budget_seconds": self._budget_seconds,
            "trial": None if trial is None else _trial_state(trial),
            "coming": [update.state() for update in self._coming],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        current = with_axes(self.search.current, **state["current"])
        self._search = replace(self.search, current=current, trials=state["trials"])
        self._trial_number = state["trial_number"]
        self._budget_seconds = state["budget_seconds"]
        self._trial = None if state["trial"] is None else _trial_from(state["trial"], current)
        self._coming = tuple(restored(update) for update in state["coming"])

    def _start_trial(self, arrays: Arrays) -> Trial:
        self._trial_number = self.search.trials + 1
        groups = {
            name: Group(config=config, arrays=self._grown(arrays, name, config))
            for name, config in self.search.propose().items()
        }
        clock = self.server.clock
        clock.fork(list(groups))
        self._budget_seconds = self.search.budget_seconds()
        self._drop_misfits(groups)
        return Trial(
            started_seconds=clock.now(),
            budget_seconds=self._budget_seconds,
            min_rounds=self._rules.min_rounds,
            groups=groups,
        )

    def _grown(self, arrays: Arrays, name: str, config: GrowingSet) -> Arrays:
        draws = generator(self.server.seed, f"growth-{name}", self.search.trials)
        return self.search.current.grow(arrays, config, sizes=self.server.sizes, generator=draws)

    def _accuracy(self, arrays: Arrays, config: GrowingSet) -> float:
        return self.server.measure(arrays, "validation", config.configuration)

    def _drop_misfits(self, groups: Mapping[str, Group]) -> None:
        """Give up late updates to a configuration that no group of the trial has."""
        kept = tuple(
            each for each in self._coming if any(fits(each, group.config.configuration) for group in groups.values())
        )
        if lost := len(self._coming) - len(kept):
            self.server.ledger.note(f"{lost} late updates are lost: no group has their configuration any more")
        self._coming = kept

    def _cohorts(self, server_round: int, grid: Grid) -> dict[str, list[int]]:
        """Draw this round's clients and share them out; a group that is not due leaves its share idle."""
        assert self._trial is not None
        groups, due, clock = self._trial.groups, self._trial.due, self.server.clock
        nodes = draw_cohort(
            list(grid.get_node_ids()),
            size=self._rules.asked,
            seed=self.server.seed,
            server_round=server_round,
            busy=busy_nodes(self._coming, clock.latest()),
        )
        # Where there are not enough for all groups, those that are not due get none.
        names = list(groups) if len(nodes) >= len(groups) else due
        dealt = {name: nodes[place :: len(names)] for place, name in enumerate(names)}
        return {name: dealt[name] for name in due if dealt[name]}

    def _terms(self, name: str) -> RoundTerms:
        assert self._trial is not None
        names = list(self._trial.groups)
        return self._rules.terms(clients_in_group(names.index(name), groups=len(names), clients=self.clients_per_round))

    def _after_round(self, name: str, group: Group, answers: Sequence[Message]) -> Group:
        assert self._trial is not None
        now = self.server.clock.now(name)
        others = [update for update in self._coming if not fits(update, group.config.configuration)]
        gathered = gather(
            answers,
            group.arrays,
            coming=[update for update in self._coming if fits(update, group.config.configuration)],
            rules=self._rules,
            server=self.server,
            group=name,
            configuration=group.config.configuration,
            now_seconds=now,
        )
        self._coming = (*others, *gathered.coming)
        bills, used = self.server.ledger.of_group(name), now - self._trial.started_seconds
        round_seconds = used - group.seconds
        averaged = gathered.arrays
        hopeless = all(bill.dropout in ("failed", "memory") for bill in bills)
        return replace(
            group,
            arrays=group.arrays if averaged is None else from_record(averaged),
            able=averaged is not None or (round_seconds > 0 and not hopeless),
            asked=group.asked + 1,
            rounds=group.rounds + (averaged is not None),
            seconds=used,
            last_seconds=round_seconds,
            joules=group.joules + sum(bill.joules for bill in bills),
            bytes_down=group.bytes_down + sum(bill.bytes_down for bill in bills),
            bytes_up=group.bytes_up + sum(bill.bytes_up for bill in bills),
        )


def clients_in_group(index: int, *, groups: int, clients: int) -> int:
    """Return how many clients a group has when they are dealt to the groups in turn, the first group first."""
    return clients // groups + (index < clients % groups)


def _candidate(name: str, group: Group, accuracy: float) -> CandidateRecord:
    return CandidateRecord(
        group=name,
        configuration=dict(group.config.configuration),
        rounds=group.rounds,
        seconds=group.seconds,
        joules=group.joules,
        bytes_down=group.bytes_down,
        bytes_up=group.bytes_up,
        validation_accuracy=accuracy,
    )


def _merged(groups: Mapping[str, Group], winner: str) -> Arrays:
    """Average all groups into the winner's configuration, by the rounds they ran."""
    best = groups[winner]
    others = [(group.config, group.arrays, float(group.rounds)) for name, group in groups.items() if name != winner]
    return best.config.merge(best.arrays, max(1.0, best.rounds), others)


def _axes(config: GrowingSet) -> dict[str, int | str]:
    """Return the axes of a set, from which `with_axes` makes it again."""
    return {axis: value for axis, value in config.configuration.items() if axis != SET}


def _trial_state(trial: Trial) -> dict[str, Any]:
    groups = {name: vars(group) | {"config": _axes(group.config)} for name, group in trial.groups.items()}
    return vars(trial) | {"groups": groups}


def _trial_from(state: Mapping[str, Any], current: GrowingSet) -> Trial:
    """Return the trial of a state; its groups have sets of the same kind as the current one."""
    groups = {
        name: Group(**{**group, "config": with_axes(current, **group["config"])})
        for name, group in state["groups"].items()
    }
    return Trial(**{**state, "groups": groups})
