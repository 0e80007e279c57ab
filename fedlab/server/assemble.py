"""The server's side of a run from beginning to end: the same for simulated and for real clients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from safetensors.numpy import save_file

from fedlab.billing.availability_wait import Attendance
from fedlab.billing.timed_grid import Physics, TimedGrid
from fedlab.codecs.transport.reference import Reference, nothing, reference_arrays
from fedlab.codecs.transport.server import CodingGrid
from fedlab.common.arrays import Arrays
from fedlab.common.clock import Clock, stopwatch
from fedlab.common.seeds import generator
from fedlab.config.schema import Experiment
from fedlab.devices.fleet import build_fleet
from fedlab.errors import UserError
from fedlab.models.peft.bottleneck import Whole, cut_of, initial_arrays
from fedlab.models.peft.config import AdapterConfig, configuration_for
from fedlab.results.digests import digest_arrays
from fedlab.results.folder import RunFolder
from fedlab.results.observers import Audience
from fedlab.results.recorder import Observer, Recorder
from fedlab.results.write import write_results
from fedlab.server.checkpoint import load_tree, plain_attributes, save_tree
from fedlab.server.context import Attached, Measure, Resumable, Server, UpdateLimit, no_limit
from fedlab.server.example_limits import ExampleLimits, PartitionSizes, Sizes, unknown_sizes
from fedlab.server.factory import load_availability, load_coding, load_physics, load_strategy
from fedlab.server.round_loop import RoundLoop, RunState, StopRule
from fedlab.server.vetting_grid import VettingGrid, terms_of
from fedlab.training.bundle import Workbench, export, pretrained_arrays
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the server must know of model and data."""

    shape: ModelShape
    labels: int
    measure: Measure
    export: Callable[[Arrays, AdapterConfig, Path], None]
    pretrained: Callable[[int], Arrays]  # the weights of so many top blocks, to be trained whole
    reference: Reference = nothing  # what models are sent as differences to
    sizes: Sizes = unknown_sizes  # the examples of each partition


def bench_of(experiment: Experiment, workbench: Workbench, measure: Measure) -> Bench:
    """Return what the server must know of the model and the data on a workbench."""
    return Bench(
        shape=workbench.network.encoder.shape,
        labels=len(workbench.label_names),
        measure=measure,
        export=partial(export, experiment, workbench),
        pretrained=partial(pretrained_arrays, experiment, workbench),
        reference=partial(reference_arrays, workbench.network),
        sizes=lambda partition_id: len(workbench.partitions[partition_id]),
    )


def serve(
    experiment: Experiment,
    bench: Bench,
    *,
    grid: Grid,
    partitions: Mapping[int, int],
    clock: Clock,
    folder: RunFolder,
    recorder: Recorder,
    observers: Sequence[Observer],
    physics: Physics | None = None,
    update_limit: UpdateLimit = no_limit,
    limits: ExampleLimits | None = None,
) -> dict[str, Any]:
    """Run an experiment over a grid and write everything to its folder; return the summary.

    Costs are what `physics` says, by default the boards and links of the experiment. `update_limit` is for strategies
    that have none of their own; `limits` bounds the examples that clients claim, by default by the partitions' sizes.
    A folder with a checkpoint is gone on with: what was recorded after the checkpoint is cut off and done again.

    Raises:
        UserError: the experiment names something that does not exist or does not fit.
        RunFailedError: the run cannot go on.
    """
    audience = Audience([recorder, *observers])
    server = _server(experiment, bench, partitions, clock, audience, update_limit)
    strategy = load_strategy(experiment)
    if isinstance(strategy, Attached):
        strategy.attach(server)
    physics = physics or load_physics(experiment, clients=len(partitions), shape=bench.shape)
    timed = _timed(grid, experiment, physics, server, strategy)
    limits = limits or PartitionSizes(bench.sizes, partitions)
    parts = _Parts(
        clock=clock, strategy=strategy, clients=grid, limits=limits, recorder=recorder, path=folder.checkpoint
    )
    before_seconds, standing = parts.restore() or (0.0, _first_standing(experiment, server, bench))
    elapsed = stopwatch()

    def wall_seconds() -> float:
        return before_seconds + elapsed()

    loop = RoundLoop(
        strategy=strategy,
        grid=VettingGrid(
            _coded(timed, experiment, bench, server, audience),
            terms=terms_of(strategy),
            limits=limits,
            refuse=lambda node_id, reason: _refuse(server, audience, node_id, f"turned away: {reason}"),
        ),
        server=server,
        stop=_stop_rule(experiment),
        validation_every=experiment.evaluation.validation_every,
        test_every=experiment.evaluation.test_every,
        configuration=configuration_for(experiment.client.trained, server.initial),
        observer=audience,
        save=lambda each: parts.save(each, wall_seconds()),
        wall_seconds=wall_seconds,
        prefills=experiment.client.prefill,
    )
    final = loop.run(standing)
    recorder.close()
    return _write_results(experiment, bench, folder, final)


def initial_configuration(experiment: Experiment, shape: ModelShape) -> AdapterConfig:
    """Return the configuration of the first model; where whole blocks are trained its width is 1.

    Raises:
        UserError: it is deeper than the encoder.
    """
    if experiment.client.trained == "everything":
        return AdapterConfig(depth=shape.blocks, width=1)
    if experiment.client.depth > shape.blocks:
        raise UserError(f"client.depth = {experiment.client.depth}: the encoder has {shape.blocks} blocks")
    width = experiment.client.width if experiment.client.trained == "adapters" else 1
    return AdapterConfig(depth=experiment.client.depth, width=width)


def check_clients_suffice(experiment: Experiment, clients: int) -> None:
    """Refuse what would only come out in the first round, or keep Flower's own strategies waiting for ever.

    Raises:
        UserError: the strategy asks for more clients than there are or for others, or the fleet cannot be dealt to
            them.
    """
    build_fleet(experiment.fleet, clients, experiment.seed, Path(experiment.base_folder))
    strategy = load_strategy(experiment)
    for option in ("clients_per_round", "min_available_nodes"):
        needed = getattr(strategy, option, 0)
        if needed > clients:
            raise UserError(f"strategy.options.{option} = {needed}: more than there are clients ({clients})")
    trained = experiment.client.trained
    wanted = getattr(strategy, "trains", trained)
    if wanted != trained:
        raise UserError(
            f"client.name = '{experiment.client.name}': trains {trained}, "
            f"but the strategy '{experiment.strategy.name}' is for clients that train {wanted}"
        )


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """All that a checkpoint is made of."""

    clock: Clock
    strategy: Strategy
    clients: Grid
    limits: ExampleLimits
    recorder: Recorder
    path: Path

    def save(self, standing: RunState, wall_seconds: float) -> None:
        tree = {
            "standing": vars(standing),
            "wall_seconds": wall_seconds,
            "clock": self.clock.state(),
            "marks": self.recorder.mark(),
            "strategy": _state(self.strategy),
            "clients": self.clients.state() if isinstance(self.clients, Resumable) else {},
            "limits": self.limits.state() if isinstance(self.limits, Resumable) else {},
        }
        save_tree(self.path, tree)

    def restore(self) -> tuple[float, RunState] | None:
        tree = load_tree(self.path)
        if tree is None:
            self.recorder.rewind(dict.fromkeys(self.recorder.mark(), 0))
            return None
        self.clock.restore(tree["clock"])
        self.recorder.rewind(tree["marks"])
        if isinstance(self.clients, Resumable):
            self.clients.restore(tree["clients"])
        if isinstance(self.limits, Resumable) and "limits" in tree:
            self.limits.restore(tree["limits"])
        if isinstance(self.strategy, Resumable):
            self.strategy.restore(tree["strategy"])
        else:
            vars(self.strategy).update(tree["strategy"])
        return tree["wall_seconds"], RunState(**tree["standing"])


def _server(
    experiment: Experiment,
    bench: Bench,
    partitions: Mapping[int, int],
    clock: Clock,
    observer: Observer,
    update_limit: UpdateLimit,
) -> Server:
    return Server(
        seed=experiment.seed,
        clock=clock,
        blocks=bench.shape.blocks,
        initial=initial_configuration(experiment, bench.shape),
        partitions=partitions,
        measure=bench.measure,
        on_trial=observer.on_trial,
        update_limit=update_limit,
    )


def _stop_rule(experiment: Experiment) -> StopRule:
    return StopRule(
        rounds=experiment.rounds,
        simulated_seconds=None if experiment.simulated_hours is None else experiment.simulated_hours * 3600,
        target_accuracy=experiment.target_accuracy,
    )


def _timed(grid: Grid, experiment: Experiment, physics: Physics, server: Server, strategy: Strategy) -> TimedGrid:
    """Put what bills, and the experiment's clients that come and go, above a grid."""
    # Flower's own strategies wait in real time until so many are there.
    needs = [getattr(strategy, f"min_{what}_nodes", 1) for what in ("available", "train", "evaluate")]
    attendance = Attendance(
        load_availability(experiment), clock=server.clock, partitions=server.partitions, at_least=max(1, *needs)
    )
    return TimedGrid(
        grid,
        clock=server.clock,
        physics=physics,
        attendance=attendance,
        partitions=server.partitions,
        on_clients=server.ledger.bill,
    )


def _coded(grid: Grid, experiment: Experiment, bench: Bench, server: Server, observer: Observer) -> Grid:
    """Put the experiment's codecs above a grid, if it names any."""
    coding = load_coding(experiment)
    if coding is None:
        return grid

    return CodingGrid(
        grid,
        coding=coding,
        reference=bench.reference,
        refuse=lambda node_id, reason: _refuse(server, observer, node_id, reason),
    )


def _refuse(server: Server, observer: Observer, node_id: int, reason: str) -> None:
    """Note that the last work of a node is not used, and say why."""
    partition_id = server.partitions[node_id]
    server.ledger.refuse(partition_id, reason)
    observer.on_message(f"client {partition_id}: {reason}")


def _state(strategy: Strategy) -> dict[str, Any]:
    return strategy.state() if isinstance(strategy, Resumable) else plain_attributes(strategy)


def _first_standing(experiment: Experiment, server: Server, bench: Bench) -> RunState:
    draws = generator(experiment.seed, "initial")
    shape = bench.shape
    whole = experiment.client.trained != "adapters"
    drawn = initial_arrays(
        AdapterConfig(depth=0, width=1) if whole else server.initial,
        blocks=shape.blocks,
        hidden=shape.hidden,
        labels=bench.labels,
        generator=draws,
    )
    pretrained = bench.pretrained(server.initial.depth) if whole else {}
    return RunState(server_round=0, arrays=pretrained | drawn)


def _write_results(experiment: Experiment, bench: Bench, folder: RunFolder, final: RunState) -> dict[str, Any]:
    save_file(final.arrays, folder.final)
    last = folder.rounds()[-1]
    config = AdapterConfig(depth=last.depth, width=last.width)
    bench.export(final.arrays, config, folder.model if isinstance(cut_of(final.arrays), Whole) else folder.adapter)
    return write_results(
        folder,
        experiment,
        status="finished",
        arrays_digest=digest_arrays(final.arrays),
        more={"run_dir": str(folder.path)},
    )
