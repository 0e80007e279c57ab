"""A run of an experiment's own server with planned clients: its strategy, boards, links and clock, without training."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.common.clock import VirtualClock
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.estimate.experiment.clients import PlannedClients
from fedlab.estimate.experiment.physics import PlannedPhysics
from fedlab.estimate.experiment.trial_outcomes import Judge
from fedlab.estimate.experiment.work import PlannedWork
from fedlab.estimate.slot import Traffic
from fedlab.models.cnn.layers import (
    AveragePool,
    BatchNorm,
    Branches,
    Conv,
    Layer,
    Linear,
    MaxPool,
    Residual,
    placed,
)
from fedlab.models.cnn.sizes import ConvSizes
from fedlab.models.peft.base import ModelSizes, TrainableSet
from fedlab.models.peft.set_calls import initial_of, shapes_of
from fedlab.models.sizes import EncoderSizes
from fedlab.results.records import ClientRecord, RoundRecord, StepRecord, TrialRecord
from fedlab.server.assemble import Assembled
from fedlab.server.bench import initial_set
from fedlab.server.factory import set_named
from fedlab.server.round_loop import RoundLoop, RunState
from fedlab.server.wiring import attached_server, round_loop, timed_grid

_MOST_ROUNDS = 100_000  # minutes of planning
_LARGEST_STAND_IN = 512


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """An assembled experiment, and what must be known of its model and data; `traffic` is in bytes by depth and width.

    The strategy of a plan is never run: each dry run has one of its own.
    """

    assembled: Assembled
    sizes: EncoderSizes | ConvSizes
    work: PlannedWork
    num_examples: Sequence[int]
    traffic: Callable[[int, int], Traffic]

    @property
    def experiment(self) -> Experiment:
        """The experiment that is planned."""
        return self.assembled.experiment

    @property
    def adapters(self) -> bool:
        """Whether the clients train adapters."""
        return self.experiment.client.name == "adapter"


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """The records of a planned run."""

    clients: list[ClientRecord] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)
    trials: list[TrialRecord] = field(default_factory=list)

    @property
    def searches(self) -> bool:
        """Whether the strategy tries out configurations."""
        return self.rounds[0].trial is not None

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Store what the clients of a round would do."""
        self.clients.extend(records)

    def on_round(self, record: RoundRecord) -> None:
        """Store a round; raises UserError where an experiment that stops by its clock has more than can be planned."""
        if len(self.rounds) >= _MOST_ROUNDS:
            hours = record.simulated_seconds / 3600
            raise UserError(f"simulated_hours: {_MOST_ROUNDS} rounds take {hours:.3g} h, and are the most planned")
        self.rounds.append(record)

    def on_trial(self, record: TrialRecord) -> None:
        """Store a trial."""
        self.trials.append(record)

    def on_step(self, record: StepRecord) -> None:
        """Store nothing: no client probes anything."""

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Say nothing: the records tell it."""


def dry_run(plan: ExperimentPlan, judge: Judge) -> PlannedRun:
    """Run an experiment's server until it stops, its clients being planned ones.

    Raises:
        UserError: the first model does not fit the encoder, or the experiment stops at nothing but an accuracy.
        RunFailedError: no client could take part.
    """
    experiment = plan.experiment
    if experiment.rounds is None and experiment.simulated_hours is None:
        raise UserError("nothing but target_accuracy says when to stop, and nothing is trained: give --set rounds=N")
    if experiment.rounds is not None and experiment.rounds > _MOST_ROUNDS:
        raise UserError(f"rounds = {experiment.rounds}: an estimate plans at most {_MOST_ROUNDS}: give --set rounds=N")
    stop = replace(plan.assembled.stop, target_accuracy=None, patience=None)
    assembled = replace(plan.assembled.with_fresh_strategy(), stop=stop)
    first, done = initial_set(experiment, plan.sizes.shape), PlannedRun()
    loop = _loop(plan, assembled, first, judge, done)
    loop.run(RunState(server_round=0, arrays=_stand_in(plan.sizes, first), configuration=first.configuration))
    return done


def _loop(plan: ExperimentPlan, assembled: Assembled, first: TrainableSet, judge: Judge, done: PlannedRun) -> RoundLoop:
    """Return the experiment's own loop over planned clients, which measures no test split and saves nothing."""
    clients, shape = _clients(plan), plan.sizes.shape
    server = attached_server(
        assembled,
        sizes=_small(plan.sizes),
        initial=first,
        partitions=clients.partitions(),
        clock=VirtualClock(),
        measure=judge(clients),
        observer=done,
    )
    physics = PlannedPhysics(physics=assembled.physics(shape), traffic=plan.traffic)
    loop = round_loop(
        assembled,
        grid=timed_grid(clients, assembled, physics=physics, server=server),
        server=server,
        observer=done,
        save=_save_nothing,
        wall_seconds=lambda: 0.0,
    )
    return replace(loop, test_every=0)


def _clients(plan: ExperimentPlan) -> PlannedClients:
    return PlannedClients(
        plan.work,
        plan.num_examples,
        adapters=plan.adapters,
        blocks=plan.sizes.shape.blocks,
        named=partial(set_named, plan.experiment),
        integers=plan.experiment.client.name == "integer",
    )


def _save_nothing(state: RunState, *, next_is_last: bool) -> None:
    """Drop the state: a dry run is not resumed."""


def _small(sizes: EncoderSizes | ConvSizes) -> ModelSizes:
    """Return a model of one label whose hidden size is 1, and in which arrays have the same names.

    Matrices have no less than a part of their size, as pairs of low rank may be of a rank up to theirs. In a network
    for images every layer has one channel and a window of one pixel; one with branches, whose channels add up, stays as
    it is.
    """
    if isinstance(sizes, ConvSizes):
        if any(isinstance(layer, Branches) for _, layer in placed(sizes.layers)):
            return ModelSizes(encoder=sizes, labels=sizes.labels)
        layers = tuple(map(_smallest, sizes.layers))
        return ModelSizes(encoder=replace(sizes, layers=layers, input_shape=(1, 1, 1), labels=1), labels=1)
    encoder = replace(
        sizes,
        shape=replace(sizes.shape, hidden=1, intermediate=1),
        vocabulary=1,
        positions=1,
        embedding={field: (1,) * len(axes) for field, axes in sizes.embedding.items()},
        projections={
            role: tuple(min(each, _LARGEST_STAND_IN) for each in it) for role, it in sizes.projections.items()
        },
        biases={name: (1,) for name in sizes.biases},
    )
    return ModelSizes(encoder=encoder, labels=1)


def _smallest(layer: Layer) -> Layer:
    """Return a layer of the same kind for one channel of one pixel."""
    match layer:
        case Conv():
            return Conv(inputs=1, outputs=1, kernel=(1, 1))
        case Linear():
            return Linear(inputs=1, outputs=1)
        case BatchNorm():
            return BatchNorm(channels=1)
        case MaxPool() | AveragePool():
            return MaxPool(kernel=(1, 1), stride=(1, 1))
        case Residual():
            body, shortcut = (tuple(map(_smallest, way)) for way in (layer.body, layer.shortcut))
            return Residual(body=body, shortcut=shortcut)
    return layer


def _stand_in(sizes: EncoderSizes | ConvSizes, trained: TrainableSet) -> Arrays:
    """Return the arrays of a set in a small model."""
    small = _small(sizes)
    shapes = shapes_of(trained, small)

    def zeros(names: Collection[str]) -> Arrays:
        return {name: np.zeros(shapes[name], np.float32) for name in names}

    return initial_of(trained, small, np.random.default_rng(0), zeros)
