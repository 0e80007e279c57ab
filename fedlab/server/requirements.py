"""What a strategy asks of a run before the first round: of ours by a protocol, of Flower's by an adapter."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from flwr.serverapp.strategy import FedAvg as FlowersFedAvg
from flwr.serverapp.strategy import Strategy

from fedlab.config.builtins import TRAINS
from fedlab.config.guard import guarded, refuse_returned
from fedlab.config.schema import ClientTable, Experiment
from fedlab.devices.costmodel.base import compute_seconds
from fedlab.devices.costmodel.cnn import conv_processor
from fedlab.devices.fleet import Fleet
from fedlab.devices.profile import DeviceProfile
from fedlab.errors import UserError
from fedlab.models.mixed_precision.algorithm import algorithm_named, check_runs_on
from fedlab.models.peft.base import GrowingSet
from fedlab.server.factory import load_set
from fedlab.workload.conv_shape import ConvShape
from fedlab.workload.passes import DEFAULT_PROCESSOR, WHOLE, Format, format_of
from fedlab.workload.shape import AnyShape
from fedlab.workload.workload import Workload, training_passes

_SCHEDULED = {"integer": "mu", "mixed-precision": "learning_rate"}  # by client: may be pairs of a round and a value


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a strategy needs of a run.

    A run has at least `clients_per_round` and `min_available_nodes` clients, each an option of the strategy. A round
    starts when `waits_for` clients are available, if the fleet has that many. `trains` names the trainable set that the
    clients must train, None if any will do; where it `grows` sets, it must be one that can. With `evaluates` off the
    strategy asks no client to evaluate, and is not asked which.
    """

    clients_per_round: int = 1
    min_available_nodes: int = 1
    waits_for: int = 1
    trains: str | None = None
    grows: bool = False
    evaluates: bool = True


@runtime_checkable
class StatesRequirements(Protocol):
    """A strategy that says what it needs."""

    def requirements(self) -> Requirements:
        """Return what the strategy, with its options, needs of a run."""


@runtime_checkable
class WrapsStrategy(Protocol):
    """A strategy around another, as Flower's for differential privacy are."""

    strategy: Strategy


def layers_of(strategy: Strategy) -> Iterator[Strategy]:
    """Yield a strategy and those within it, from the outside in."""
    yield strategy
    while isinstance(strategy, WrapsStrategy) and isinstance(strategy.strategy, Strategy):
        strategy = strategy.strategy
        yield strategy


@runtime_checkable
class _SamplesNodes(Protocol):
    """A strategy with the options of Flower's FedAvg; all that inherit from it have them."""

    fraction_evaluate: float
    min_train_nodes: int
    min_evaluate_nodes: int
    min_available_nodes: int


def requirements_of(strategy: Strategy) -> Requirements:
    """Return what a strategy needs of a run: what it states, or what the options it shares with Flower's imply."""
    if isinstance(strategy, StatesRequirements):
        stated = guarded(f"the strategy {type(strategy).__name__}", "requirements", strategy.requirements)
        if not isinstance(stated, Requirements):
            refuse_returned(f"the strategy {type(strategy).__name__}", "requirements", stated, "Requirements")
        return stated
    if isinstance(strategy, WrapsStrategy):
        return replace(requirements_of(strategy.strategy), evaluates=True)
    if isinstance(strategy, _SamplesNodes):
        return _of_flowers(strategy, never_evaluates=_leaves_evaluation_to_flower(strategy))
    return Requirements()


def check_requirements(requirements: Requirements, experiment: Experiment) -> None:
    """Refuse what would only come out in the first round, or keep Flower's own strategies waiting for ever.

    Raises:
        UserError: the strategy needs more clients than there are, or clients that train something else; or a client's
            schedule has a value for a round behind the last.
    """
    _check_schedules(experiment)
    clients, trained = experiment.task.partition.clients, experiment.client.trained
    for option in ("clients_per_round", "min_available_nodes"):
        needed = vars(requirements)[option]
        if needed > clients:
            raise UserError(f"strategy.options.{option} = {needed}: more than there are clients ({clients})")
    wanted = requirements.trains
    if requirements.grows and not isinstance(load_set(experiment), GrowingSet):
        wanted = "a set that grows, such as bottleneck or lora"
    if wanted not in (None, trained):
        raise UserError(
            f"client.name = '{experiment.client.name}': trains {trained}, "
            f"but the strategy '{experiment.strategy.name}' is for clients that train {wanted}"
        )


def _check_schedules(experiment: Experiment) -> None:
    client, rounds = experiment.client, experiment.rounds
    option = _SCHEDULED.get(client.name)
    pairs = client.options.get(option) if option else None
    if rounds is None or not isinstance(pairs, list):
        return
    late = [pair[0] for pair in pairs if isinstance(pair, list) and pair and isinstance(pair[0], int)]
    if late and max(late) >= rounds:
        raise UserError(
            f"client.options.{option}: has a value from round {max(late)} on, counted from 0, and there are {rounds} "
            "rounds; leave it out, or give more rounds"
        )


def check_boards(experiment: Experiment, fleet: Fleet, shape: AnyShape) -> None:
    """Refuse boards that have no figures for the work for which built-in clients will be billed, before any trains.

    Raises:
        UserError: a board has neither tables nor rates for it.
    """
    if experiment.client.name not in TRAINS:
        return
    if isinstance(shape, ConvShape):
        number_format = trained_format(experiment)
        for profile in fleet.profiles:
            _check_algorithm(experiment, profile)
            compute_seconds(profile, _a_batch(shape, experiment.client, number_format), shape)
    else:
        number_format = format_of(experiment.backbone.precision, is_decoder=shape.is_decoder)
        for profile in fleet.profiles:
            profile.tables(_processor_of(experiment), number_format)


def trained_format(experiment: Experiment) -> Format:
    """Return the number format in which a built-in client computes a network for images; raises UserError.

    The error is of the algorithm's file that the client names.
    """
    client = experiment.client
    if client.name == "integer":
        return "int8"
    if client.name == "mixed-precision":
        return algorithm_named(str(client.options.get("algorithm")), experiment.path(".")).billed_in
    return "fp32"


def _check_algorithm(experiment: Experiment, profile: DeviceProfile) -> None:
    """Raise a UserError if a board's processor has not the formats of a client's algorithm."""
    client = experiment.client
    if client.name != "mixed-precision":
        return
    name = str(client.options.get("algorithm"))
    processor = conv_processor(profile, _processor_of(experiment))
    place = f"client.options.algorithm: '{name}' on the processor '{processor.name}' of {profile.name}"
    check_runs_on(algorithm_named(name, experiment.path(".")), processor.formats, place)


def _processor_of(experiment: Experiment) -> str:
    """Return the processor that clients with backpropagation are billed for; others check their own."""
    given = experiment.client.options.get("processor", DEFAULT_PROCESSOR)
    return str(given) if experiment.client.name != "forward" else DEFAULT_PROCESSOR


def _a_batch(shape: ConvShape, client: ClientTable, number_format: Format) -> Workload:
    """Return the training of a whole network on a batch of one image, as a built-in client is billed for it."""
    blocks = shape.blocks
    passes = training_passes(
        batches=1,
        batch_size=1,
        input_shape=shape.input_shape,
        model_blocks=blocks,
        depth=blocks,
        trained=WHOLE,
        format=number_format,
        processor=str(client.options.get("processor", DEFAULT_PROCESSOR)),
    )
    return Workload(passes=passes, num_examples=1)


def _of_flowers(strategy: _SamplesNodes, *, never_evaluates: bool) -> Requirements:
    return Requirements(
        min_available_nodes=strategy.min_available_nodes,
        # They wait in real time until enough nodes are there, and simulated time would stand still.
        waits_for=max(1, strategy.min_available_nodes, strategy.min_train_nodes, strategy.min_evaluate_nodes),
        evaluates=not (never_evaluates and strategy.fraction_evaluate == 0),
    )


def _leaves_evaluation_to_flower(strategy: object) -> bool:
    """Tell whether a strategy evaluates as Flower's FedAvg does, which asks no client at a fraction of 0."""
    return isinstance(strategy, FlowersFedAvg) and type(strategy).configure_evaluate is FlowersFedAvg.configure_evaluate
