"""The server's side of a run from beginning to end: the same for simulated and for real clients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from safetensors.numpy import save_file

from fedlab.adapterconfig import AdapterConfig
from fedlab.checkpoint import load_tree, plain_attributes, save_tree
from fedlab.clock import Clock, stopwatch
from fedlab.costs import charge
from fedlab.digests import digest_arrays, digest_records
from fedlab.errors import UserError
from fedlab.experiment import Experiment
from fedlab.fleet import Fleet, build_fleet
from fedlab.grid import Charge, TimedGrid
from fedlab.links import Link
from fedlab.loading import load_link, load_strategy
from fedlab.models.arrays import Arrays, initial_arrays
from fedlab.plots import plot_accuracy
from fedlab.recorder import Observer, Recorder
from fedlab.records import ClientRecord, RoundRecord, TrialRecord
from fedlab.report import client_totals, summarise, totals_csv
from fedlab.rounds import RoundLoop, Standing, StopRule
from fedlab.runfolder import RunFolder
from fedlab.seeds import generator
from fedlab.server import Attached, Measure, Resumable, Server
from fedlab.workbench import Workbench, export_adapter
from fedlab.workload import Cost, EncoderShape, Workload


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the server must know of model and data."""

    shape: EncoderShape
    labels: int
    measure: Measure
    export: Callable[[Arrays, AdapterConfig, Path], None]


def bench_of(experiment: Experiment, workbench: Workbench, measure: Measure) -> Bench:
    """Return what the server must know of the model and the data on a workbench."""
    return Bench(
        shape=workbench.network.encoder.shape,
        labels=len(workbench.label_names),
        measure=measure,
        export=partial(export_adapter, experiment, workbench),
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
) -> dict[str, Any]:
    """Run an experiment over a grid and write everything to its folder; return the summary.

    A folder with a checkpoint is gone on with: what was recorded after the checkpoint is cut off and done again.

    Raises:
        UserError: the experiment names something that does not exist or does not fit.
        RunFailedError: the run cannot go on.
    """
    told = [recorder, *observers]
    clients: list[ClientRecord] = []
    trials: list[TrialRecord] = []

    def on_clients(records: Sequence[ClientRecord]) -> None:
        clients.extend(records)
        for observer in told:
            observer.on_clients(records)

    def on_round(record: RoundRecord) -> None:
        for observer in told:
            observer.on_round(record)
        while trials:  # a trial ends inside its last round
            trial = trials.pop(0)
            for observer in told:
                observer.on_trial(trial)

    fleet = build_fleet(experiment.fleet.devices, len(partitions), experiment.seed, Path(experiment.base_folder))
    server = Server(
        seed=experiment.seed,
        clock=clock,
        blocks=bench.shape.blocks,
        initial=initial_configuration(experiment, bench.shape),
        partitions=partitions,
        measure=bench.measure,
        on_trial=trials.append,
    )
    timed = TimedGrid(
        grid,
        clock=clock,
        charge=_physics(fleet, load_link(experiment), bench.shape),
        partitions=partitions,
        device_of=lambda partition_id: fleet.profile(partition_id).name,
        on_clients=on_clients,
    )
    strategy = load_strategy(experiment)
    if isinstance(strategy, Attached):
        strategy.attach(server)
    parts = _Parts(clock=clock, strategy=strategy, clients=grid, recorder=recorder, path=folder.checkpoint)
    before_seconds, standing = parts.restore() or (0.0, _first_standing(experiment, server, bench))
    elapsed = stopwatch()

    def wall_seconds() -> float:
        return before_seconds + elapsed()

    loop = RoundLoop(
        strategy=strategy,
        grid=timed,
        server=server,
        stop=StopRule(
            rounds=experiment.rounds,
            simulated_seconds=None if experiment.simulated_hours is None else experiment.simulated_hours * 3600,
            target_accuracy=experiment.target_accuracy,
        ),
        validation_every=experiment.evaluation.validation_every,
        test_every=experiment.evaluation.test_every,
        initial_width=experiment.client.width,
        clients=clients,
        on_round=on_round,
        save=lambda each: parts.save(each, wall_seconds()),
        wall_seconds=wall_seconds,
    )
    final = loop.run(standing)
    recorder.close()
    return _write_results(experiment, bench, folder, final)


def initial_configuration(experiment: Experiment, shape: EncoderShape) -> AdapterConfig:
    """Return the configuration of the first model.

    Raises:
        UserError: it is deeper than the encoder.
    """
    if experiment.client.depth > shape.blocks:
        raise UserError(f"client.depth = {experiment.client.depth}: the encoder has {shape.blocks} blocks")
    return AdapterConfig(depth=experiment.client.depth, width=experiment.client.width)


def check_clients_suffice(experiment: Experiment, clients: int) -> None:
    """Refuse what would only come out in the first round, or keep Flower's own strategies waiting for ever.

    Raises:
        UserError: the strategy asks for more clients than there are, or the fleet cannot be dealt to them.
    """
    build_fleet(experiment.fleet.devices, clients, experiment.seed, Path(experiment.base_folder))
    strategy = load_strategy(experiment)
    for option in ("clients_per_round", "min_available_nodes"):
        needed = getattr(strategy, option, 0)
        if needed > clients:
            raise UserError(f"strategy.options.{option} = {needed}: more than there are clients ({clients})")


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """All that a checkpoint is made of."""

    clock: Clock
    strategy: Strategy
    clients: Grid
    recorder: Recorder
    path: Path

    def save(self, standing: Standing, wall_seconds: float) -> None:
        tree = {
            "standing": vars(standing),
            "wall_seconds": wall_seconds,
            "clock": self.clock.state(),
            "marks": self.recorder.mark(),
            "strategy": _state(self.strategy),
            "clients": self.clients.state() if isinstance(self.clients, Resumable) else {},
        }
        save_tree(self.path, tree)

    def restore(self) -> tuple[float, Standing] | None:
        tree = load_tree(self.path)
        if tree is None:
            self.recorder.rewind(dict.fromkeys(self.recorder.mark(), 0))
            return None
        self.clock.restore(tree["clock"])
        self.recorder.rewind(tree["marks"])
        if isinstance(self.clients, Resumable):
            self.clients.restore(tree["clients"])
        if isinstance(self.strategy, Resumable):
            self.strategy.restore(tree["strategy"])
        else:
            vars(self.strategy).update(tree["strategy"])
        return tree["wall_seconds"], Standing(**tree["standing"])


def _state(strategy: Strategy) -> dict[str, Any]:
    return strategy.state() if isinstance(strategy, Resumable) else plain_attributes(strategy)


def _first_standing(experiment: Experiment, server: Server, bench: Bench) -> Standing:
    draws = generator(experiment.seed, "initial")
    shape = bench.shape
    arrays = initial_arrays(
        server.initial, blocks=shape.blocks, hidden=shape.hidden, labels=bench.labels, generator=draws
    )
    return Standing(server_round=0, arrays=arrays)


def _physics(fleet: Fleet, link: Link, shape: EncoderShape) -> Charge:
    def charge_one(workload: Workload, *, partition_id: int, server_round: int, bytes_down: int, bytes_up: int) -> Cost:
        return charge(
            workload,
            profile=fleet.profile(partition_id),
            link=link,
            shape=shape,
            bytes_down=bytes_down,
            bytes_up=bytes_up,
            partition_id=partition_id,
            server_round=server_round,
        )

    return charge_one


def _write_results(experiment: Experiment, bench: Bench, folder: RunFolder, final: Standing) -> dict[str, Any]:
    rounds, trials, clients = folder.rounds(), folder.trials(), folder.clients()
    save_file(final.arrays, folder.final)
    config = AdapterConfig(depth=rounds[-1].depth, width=rounds[-1].width)
    bench.export(final.arrays, config, folder.adapter)
    plot_accuracy(rounds, trials, folder.plot)
    folder.client_totals.write_text(totals_csv(client_totals(clients)))
    summary = summarise(
        rounds,
        trials,
        clients,
        status="finished",
        arrays_digest=digest_arrays(final.arrays),
        records_digest=digest_records(folder),
    )
    summary = {"name": experiment.name, "seed": experiment.seed} | summary | {"run_dir": str(folder.path)}
    folder.write_summary(summary)
    return summary
