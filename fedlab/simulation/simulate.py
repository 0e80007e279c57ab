"""A simulated run: assemble the experiment, prepare the data, start the actors, and run the server over them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from flwr.clientapp import ClientApp

from fedlab.common.clock import VirtualClock
from fedlab.common.files import provide_folder
from fedlab.common.scratch import remove_leftovers, scratch_folder
from fedlab.config.run_tables import EngineTable
from fedlab.config.schema import Experiment
from fedlab.messages.flower_private import untested_flower
from fedlab.messages.trains_together import TrainsTogether
from fedlab.results.data_report import tell_data
from fedlab.results.environment import describe_environment
from fedlab.results.folder import RunFolder
from fedlab.results.recorder import Observer, Recorder
from fedlab.server.assemble import Assembled, assemble, fit_to_partitions
from fedlab.server.bench import bench_of, initial_set
from fedlab.server.factory import codec_names, set_names
from fedlab.server.requirements import check_boards
from fedlab.server.serve import World, serve
from fedlab.simulation.engine.actor import ClientSetup
from fedlab.simulation.engine.cluster import Cluster, cluster
from fedlab.simulation.engine.own_ray import OwnRay
from fedlab.simulation.engine.packing import default_pack
from fedlab.simulation.engine.ray_grid import RayGrid
from fedlab.simulation.engine.state_log import StateLog
from fedlab.simulation.engine.workers import WorkerPool
from fedlab.simulation.session.record import SessionRecord
from fedlab.training.bundle import PreparedBundle, bundle_for
from fedlab.training.workbench import Workbench
from fedlab.workload.shape import AnyShape


def simulate(
    experiment: Experiment,
    *,
    claim: Callable[[], RunFolder],
    observers: Sequence[Observer],
    place: OwnRay | SessionRecord | None,
) -> dict[str, Any]:
    """Run an experiment on simulated clients and return its summary.

    The run folder is claimed when everything the experiment names is there and the actors can start, so that a wrong
    experiment leaves nothing behind. The actors' place is as of `ray_for`.

    Raises:
        UserError: the experiment names something that does not exist or does not fit.
        RunFailedError: the run cannot go on.
    """
    assembled = assemble(experiment)
    remove_leftovers()
    with scratch_folder() as scratch:
        bundle = _prepared(experiment, scratch)
        workbench = bundle.open()
        assembled = fit_to_partitions(assembled, len(workbench.partitions))
        initial_set(experiment, workbench.network.encoder.shape)
        check_boards(experiment, assembled.fleet, workbench.network.encoder.shape)
        with cluster(experiment.engine, _setup(experiment, bundle, workbench), place) as machines:
            folder = claim()
            if assembled.experiment is not experiment:
                folder.write_experiment(assembled.experiment)
            return _run(assembled, workbench, machines, folder, observers)


def _prepared(experiment: Experiment, scratch: Path) -> PreparedBundle:
    """Prepare the experiment's data and encoder.

    In a folder of activations that is kept, those of all bundles lie side by side, so that its room is for all of
    them. A bundle that is not kept itself has activations of no use to another run.
    """
    folder, engine = bundle_for(experiment, scratch), experiment.engine
    if engine.activations is None or scratch in folder.parents:
        return PreparedBundle(folder=folder, activations=scratch / "activations", room_bytes=engine.cache_bytes)
    kept = experiment.path(engine.activations)
    provide_folder(kept, f"engine.activations = {engine.activations!r}")
    # What GPUs compute differs from the cores' in its last digits.
    prefix = f"{folder.name}-{engine.device}-"
    return PreparedBundle(folder=folder, activations=kept, prefix=prefix, room_bytes=engine.cache_bytes)


def _setup(experiment: Experiment, bundle: PreparedBundle, workbench: Workbench) -> ClientSetup:
    return ClientSetup(
        reference=experiment.client.name,
        options=experiment.client.options,
        base_folder=Path(experiment.base_folder),
        bundle=bundle,
        num_partitions=len(workbench.partitions),
        codecs=codec_names(experiment),
        sets=set_names(experiment),
    )


def _run(
    assembled: Assembled, workbench: Workbench, machines: Cluster, folder: RunFolder, observers: Sequence[Observer]
) -> dict[str, Any]:
    """Run the server over actors, with everything it writes in the run's folder."""
    with closing(Recorder(folder)) as recorder, closing(StateLog(folder.client_states)) as states:
        tell = partial(_tell, [recorder, *observers])
        pool = machines.pool(on_trouble=tell)  # its actors start while this process goes on
        folder.write_environment(describe_environment())
        if untested := untested_flower():
            tell(untested)
        tell_data(folder, workbench.task.report, tell)
        if too_much := _what_is_not_stored(assembled.experiment, workbench):
            tell(too_much)
        pack = _pack(assembled.experiment.engine, assembled.client, workbench.network.encoder.shape)
        grid = RayGrid(pool, workbench, states, pack=pack, on_failure=tell)
        bench = bench_of(assembled.experiment, workbench, grid.measure, grid.measure_clients)
        world = World(
            grid=grid,
            partitions=grid.partitions(),
            clock=VirtualClock(),
            physics=assembled.physics(bench.shape),
        )
        summary = serve(assembled, bench, world, folder=folder, recorder=recorder, observers=observers)
    folder.write_engine(_engine_report(pool, grid))
    return summary


def _what_is_not_stored(experiment: Experiment, workbench: Workbench) -> str | None:
    """Return a warning if the frozen states that all clients begin with exceed the room for them, else None."""
    store, shape = workbench.activations, workbench.network.encoder.shape
    at = initial_set(experiment, shape).split_point(shape.blocks)
    size = store.table_bytes(workbench.network, workbench.samples("train"), at)
    if size <= store.budget_bytes:
        return None
    said = f"frozen states at depth {shape.blocks - at.block} take {size / 1e9:.1f} GB, and the room for them is"
    return f"{said} {store.budget_bytes / 1e9:.1f} GB (engine.cache_bytes): they are computed again each time"


def _pack(engine: EngineTable, client: ClientApp, shape: AnyShape) -> int | None:
    """Return how many clients an actor trains side by side at most, None if they do not train so."""
    if not isinstance(client, TrainsTogether):
        return None
    return engine.pack or default_pack(engine.device, shape)


def _engine_report(pool: WorkerPool, grid: RayGrid) -> dict[str, Any]:
    """Return what the simulation cost this machine."""
    return {
        "workers": pool.workers,
        "actor_seconds": grid.actor_seconds,
        "busiest_seconds": grid.busiest_seconds,
        "driver_seconds": grid.driver_seconds,
    }


def _tell(observers: Sequence[Observer], line: str, detail: str | None = None) -> None:
    for observer in observers:
        observer.on_message(line, detail)
