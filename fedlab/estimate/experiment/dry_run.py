"""A run of an experiment's own server with planned clients: its strategy, boards, links and clock, without training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from fedlab.billing.availability_wait import Attendance
from fedlab.billing.timed_grid import TimedGrid
from fedlab.common.clock import VirtualClock
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.estimate.experiment.clients import PlannedClients
from fedlab.estimate.experiment.physics import PlannedPhysics
from fedlab.estimate.experiment.placeholder_arrays import stand_in
from fedlab.estimate.experiment.trial_outcomes import Judge
from fedlab.estimate.experiment.work import PlannedWork
from fedlab.estimate.slot import Traffic
from fedlab.models.sizes import EncoderSizes
from fedlab.results.observers import Audience
from fedlab.results.records import ClientRecord, RoundRecord, TrialRecord
from fedlab.server.assemble import check_clients_suffice, initial_set
from fedlab.server.context import Attached, Server
from fedlab.server.factory import load_availability, load_physics, load_strategy, set_named
from fedlab.server.round_loop import RoundLoop, RunState, StopRule


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """An experiment, and what must be known of its model and data; `traffic` is in bytes by depth and width."""

    experiment: Experiment
    sizes: EncoderSizes
    work: PlannedWork
    num_examples: Sequence[int]
    traffic: Callable[[int, int], Traffic]

    @property
    def adapters(self) -> bool:
        """Tell whether the clients train adapters."""
        return self.experiment.client.name == "adapter"


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """The records of a run that was only planned."""

    clients: list[ClientRecord] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)

    @property
    def searches(self) -> bool:
        """Tell whether its strategy tries out configurations."""
        return self.rounds[0].trial is not None

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Keep what the clients of a round would do."""
        self.clients.extend(records)

    def on_round(self, record: RoundRecord) -> None:
        """Keep a round."""
        self.rounds.append(record)

    def on_trial(self, record: TrialRecord) -> None:
        """Keep a trial."""
        self.trials.append(record)

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Say nothing: the records tell it."""


def dry_run(plan: ExperimentPlan, judge: Judge) -> PlannedRun:
    """Run an experiment's server until it stops, its clients being planned ones.

    Raises:
        UserError: the experiment does not fit together, or says nothing of when to stop but an accuracy.
        RunFailedError: no client could take part.
    """
    experiment = plan.experiment
    if experiment.rounds is None and experiment.simulated_hours is None:
        raise UserError("nothing but target_accuracy says when to stop, and nothing is trained: give --set rounds=N")
    check_clients_suffice(experiment, len(plan.num_examples))
    clients = PlannedClients(
        plan.work,
        plan.num_examples,
        adapters=plan.adapters,
        blocks=plan.sizes.shape.blocks,
        named=partial(set_named, experiment),
    )
    done = PlannedRun()
    audience = Audience([done])
    server = _server(plan, clients, judge, audience)
    _loop(plan, clients, server, audience).run(_first(plan, server))
    return done


def _server(plan: ExperimentPlan, clients: PlannedClients, judge: Judge, audience: Audience) -> Server:
    return Server(
        seed=plan.experiment.seed,
        clock=VirtualClock(),
        blocks=plan.sizes.shape.blocks,
        initial=initial_set(plan.experiment, plan.sizes.shape),
        partitions=clients.partitions(),
        measure=judge(clients),
        on_trial=audience.on_trial,
    )


def _loop(plan: ExperimentPlan, clients: PlannedClients, server: Server, audience: Audience) -> RoundLoop:
    experiment = plan.experiment
    strategy = load_strategy(experiment)
    if isinstance(strategy, Attached):
        strategy.attach(server)
    needs = [getattr(strategy, f"min_{what}_nodes", 1) for what in ("available", "train", "evaluate")]
    attendance = Attendance(
        load_availability(experiment), clock=server.clock, partitions=server.partitions, at_least=max(1, *needs)
    )
    physics = load_physics(experiment, clients=len(plan.num_examples), shape=plan.sizes.shape)
    timed = TimedGrid(
        clients,
        clock=server.clock,
        physics=PlannedPhysics(physics=physics, traffic=plan.traffic),
        attendance=attendance,
        partitions=server.partitions,
        on_clients=server.ledger.bill,
    )
    hours = experiment.simulated_hours
    return RoundLoop(
        strategy=strategy,
        grid=timed,
        server=server,
        stop=StopRule(rounds=experiment.rounds, simulated_seconds=None if hours is None else hours * 3600),
        validation_every=experiment.evaluation.validation_every,
        test_every=0,
        observer=audience,
        save=lambda standing: None,
        wall_seconds=lambda: 0.0,
        prefills=experiment.client.prefill,
    )


def _first(plan: ExperimentPlan, server: Server) -> RunState:
    first = server.initial
    return RunState(server_round=0, arrays=stand_in(plan.sizes, first), configuration=first.configuration)
