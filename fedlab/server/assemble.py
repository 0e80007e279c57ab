"""Everything an experiment names, constructed once a run and handed down."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Strategy

from fedlab.billing.simulated import SimulatedPhysics
from fedlab.codecs.spec import Coding
from fedlab.config.schema import Experiment
from fedlab.devices.fleet import Fleet, build_fleet
from fedlab.network.availability import Availability
from fedlab.network.links import Link
from fedlab.results.trackers.load import load_trackers
from fedlab.server.factory import (
    codec_names,
    load_availability,
    load_client,
    load_coding,
    load_link,
    load_strategy,
    make_physics,
    set_names,
)
from fedlab.server.requirements import Requirements, check_requirements, requirements_of
from fedlab.server.round_loop import StopRule
from fedlab.server.strategy_memory import check_memory
from fedlab.workload.shape import AnyShape


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """An experiment and the objects it names; `coding` is None where it names no codecs.

    `trackers` are the observers that it names, which are told of a run; an estimate tells them nothing.
    """

    experiment: Experiment
    strategy: Strategy
    requirements: Requirements
    client: ClientApp
    link: Link
    availability: Availability
    coding: Coding | None
    fleet: Fleet
    stop: StopRule
    trackers: Mapping[str, object] = field(default_factory=dict)

    def physics(self, shape: AnyShape) -> SimulatedPhysics:
        """Return what clients are billed by in a simulation, for an encoder of this shape."""
        return make_physics(self.experiment, fleet=self.fleet, link=self.link, shape=shape)

    def with_fresh_strategy(self) -> "Assembled":
        """Return the same with a new strategy, for another run: a strategy remembers the run it was in."""
        return replace(self, strategy=load_strategy(self.experiment))


def assemble(experiment: Experiment) -> Assembled:
    """Construct everything a validated experiment names, and check that it fits together.

    Raises:
        UserError: a name stands for nothing or for something else, does not take its options, or does not fit the
            others.
    """
    assembled = construct(experiment)
    check_requirements(assembled.requirements, experiment)
    return assembled


def construct(experiment: Experiment) -> Assembled:
    """Construct everything a validated experiment names, for a number of clients that may not be final yet.

    Raises:
        UserError: a name stands for nothing or for something else, does not take its options, or could not be resumed.
    """
    strategy, base, client = load_strategy(experiment), Path(experiment.base_folder), experiment.client
    check_memory(strategy)
    return Assembled(
        experiment=experiment,
        strategy=strategy,
        requirements=requirements_of(strategy),
        link=load_link(experiment),
        availability=load_availability(experiment),
        coding=load_coding(experiment),
        client=load_client(client.name, client.options, base, codec_names(experiment), set_names(experiment)),
        fleet=fleet_of(experiment),
        stop=stop_rule(experiment),
        trackers=load_trackers(experiment),
    )


def refit(assembled: Assembled, experiment: Experiment) -> Assembled:
    """Return the same objects for the same experiment with its final number of clients.

    Raises:
        UserError: the strategy needs more clients, or the fleet cannot be dealt to them.
    """
    check_requirements(assembled.requirements, experiment)
    return replace(assembled, experiment=experiment, fleet=fleet_of(experiment))


def fit_to_partitions(assembled: Assembled, partitions: int) -> Assembled:
    """Return what fits the number of partitions that the data came to: natural ones, or those left after a drop.

    A fleet that is large enough keeps its boards, so that no run changes.

    Raises:
        UserError: the strategy needs more clients.
    """
    experiment = with_clients(assembled.experiment, partitions)
    if partitions > assembled.experiment.task.partition.clients:
        return refit(assembled, experiment)
    check_requirements(assembled.requirements, experiment)
    return assembled


def with_clients(experiment: Experiment, clients: int) -> Experiment:
    """Return the same experiment with another number of clients."""
    partition = experiment.task.partition.model_copy(update={"clients": clients})
    return experiment.model_copy(update={"task": experiment.task.model_copy(update={"partition": partition})})


def fleet_of(experiment: Experiment) -> Fleet:
    """Return the boards of the experiment's clients; raises UserError as `build_fleet`."""
    clients, base = experiment.task.partition.clients, Path(experiment.base_folder)
    return build_fleet(experiment.fleet, clients, experiment.seed, base)


def stop_rule(experiment: Experiment) -> StopRule:
    """Return when a run of the experiment is over."""
    return StopRule(
        rounds=experiment.rounds,
        simulated_seconds=None if experiment.simulated_hours is None else experiment.simulated_hours * 3600,
        target_accuracy=experiment.target_accuracy,
        patience=experiment.evaluation.patience,
    )
