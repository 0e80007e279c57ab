"""A simulated run: prepare the data, start the actors, and let the server run over them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from flwr.clientapp import ClientApp
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedlab.common.clock import VirtualClock
from fedlab.common.files import provide_folder
from fedlab.config.schema import EngineTable, Experiment
from fedlab.messages.trains_together import TrainsTogether
from fedlab.models.peft.base import TrainableSet
from fedlab.results.environment import describe_environment
from fedlab.results.folder import RunFolder
from fedlab.results.recorder import Observer, Recorder
from fedlab.server.assemble import bench_of, check_clients_suffice, initial_set, serve
from fedlab.server.factory import (
    codec_names,
    load_availability,
    load_client,
    load_coding,
    load_link,
    load_strategy,
    set_names,
)
from fedlab.simulation.engine.actor import ClientActor, ClientSetup
from fedlab.simulation.engine.ray_grid import RayGrid
from fedlab.simulation.engine.shipping import clear, ship
from fedlab.simulation.engine.state_log import StateLog
from fedlab.simulation.engine.workers import WorkerPool, nodes_with_cores, places_on_gpus, spread, start_ray, stop_ray
from fedlab.training.bundle import Workbench, bundle_files, bundle_for, open_workbench

_PACKS = {"cpu": 4, "cuda": 32}  # a GPU needs more at once to be busy


def simulate(
    experiment: Experiment, *, claim: Callable[[], RunFolder], observers: Sequence[Observer]
) -> dict[str, Any]:
    """Run an experiment on simulated clients and return its summary.

    Everything the experiment names is checked first; only then is the run folder claimed, so that a wrong
    experiment leaves nothing behind.

    Raises:
        UserError: the experiment names something that does not exist or does not fit.
        RunFailedError: the run cannot go on.
    """
    base = Path(experiment.base_folder)
    load_strategy(experiment)
    load_link(experiment)
    load_availability(experiment)
    load_coding(experiment)
    client = load_client(experiment.client.name, experiment.client.options, base)
    with _scratch_folder() as scratch:
        room, bundle = experiment.engine.cache_bytes, bundle_for(experiment, scratch)
        activations, prefix = _activations(experiment, bundle, scratch)
        node_config = {
            "bundle": str(bundle),
            "activations": str(activations),
            "activation-prefix": prefix,
            "activation-bytes": "" if room is None else str(room),
        }
        workbench = open_workbench({}, node_config)
        first = initial_set(experiment, workbench.network.encoder.shape)
        check_clients_suffice(experiment, len(workbench.partitions))
        folder = claim()
        folder.write_environment(describe_environment())
        recorder = Recorder(folder)
        told = [recorder, *observers]
        if too_much := _what_is_not_stored(workbench, first):
            _tell(told, too_much, None)
        setup = ClientSetup(
            reference=experiment.client.name,
            options=experiment.client.options,
            base_folder=base,
            run_config={},
            node_config=node_config,
            num_partitions=len(workbench.partitions),
            codecs=codec_names(experiment),
            sets=set_names(experiment),
        )
        with _actors(experiment, setup, told) as pool:
            states = StateLog(folder.client_states)
            pack = _pack(experiment.engine, client)
            grid = RayGrid(pool, workbench, states, pack=pack, on_failure=partial(_tell, told))
            summary = serve(
                experiment,
                bench_of(experiment, workbench, grid.measure),
                grid=grid,
                partitions=grid.partitions(),
                clock=VirtualClock(),
                folder=folder,
                recorder=recorder,
                observers=observers,
            )
        states.close()
        folder.write_engine(
            {
                "workers": pool.workers,
                "actor_seconds": grid.actor_seconds,
                "busiest_seconds": grid.busiest_seconds,
                "driver_seconds": grid.driver_seconds,
            }
        )
        return summary


def _activations(experiment: Experiment, bundle: Path, scratch: Path) -> tuple[Path, str]:
    """Return the folder of stored activations, and what the names of this run's begin with.

    In a folder that is kept those of all bundles lie side by side, so that its room is for all of them. Those of a
    bundle that is not kept are of no use to another run.
    """
    kept = experiment.engine.activations
    if kept is None or scratch in bundle.parents:
        return scratch / "activations", ""
    folder = experiment.path(kept)
    provide_folder(folder, f"engine.activations = {kept!r}")
    # What GPUs compute differs from the cores' in its last digits.
    return folder, f"{bundle.name}-{experiment.engine.device}-"


def _what_is_not_stored(workbench: Workbench, first: TrainableSet) -> str | None:
    """Say that the states all clients begin with have no room, None if they have."""
    store, blocks = workbench.activations, workbench.network.encoder.shape.blocks
    at = first.split_point(blocks)
    size = store.table_bytes(workbench.network, workbench.tokens("train"), at)
    if size <= store.budget_bytes:
        return None
    said = f"frozen states at depth {blocks - at.block} take {size / 1e9:.1f} GB, and the room for them is"
    return f"{said} {store.budget_bytes / 1e9:.1f} GB (engine.cache_bytes): they are computed anew each time"


@contextmanager
def _actors(experiment: Experiment, setup: ClientSetup, observers: Sequence[Observer]) -> Iterator[WorkerPool]:
    engine, address = experiment.engine, experiment.engine.ray_address
    cores = start_ray(address=address, workers=engine.workers)
    try:
        places = cores if engine.device == "cpu" else places_on_gpus(engine.actors_per_gpu)
        setup = replace(setup, node_config={**setup.node_config, "device": engine.device})
        if address is not None:
            setup = replace(setup, shipped=ship(bundle_files(Path(setup.node_config["bundle"]))))
        yield _pool(engine, setup, places, observers)
    finally:
        if setup.shipped is not None and not setup.node_config["activation-prefix"]:  # kept ones, others may be at
            clear(Path(setup.node_config["activations"]))
        stop_ray()


def _pool(engine: EngineTable, setup: ClientSetup, places: int, observers: Sequence[Observer]) -> WorkerPool:
    # No cores are claimed, so that an actor of a machine that is lost finds room on another.
    gpus = 1 / engine.actors_per_gpu if engine.device == "cuda" else 0
    workers = min(engine.workers or places, places) if gpus else engine.workers or places
    actor, reference = ray.remote(num_cpus=0, num_gpus=gpus)(ClientActor), ray.put(setup)
    nodes = iter(spread(nodes_with_cores(), workers))

    def make() -> Any:
        where = "SPREAD" if gpus else NodeAffinitySchedulingStrategy(next(nodes), soft=False)
        return actor.options(scheduling_strategy=where).remote(reference)

    # In place of a lost one: Ray may not know yet that the machine it was on is gone, but this one is there.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return WorkerPool(
        make,
        remake=lambda: actor.options(scheduling_strategy=here).remote(reference),
        workers=workers,
        hang_seconds=engine.hang_seconds,
        on_trouble=lambda line: _tell(observers, line, None),
    )


def _pack(engine: EngineTable, client: ClientApp) -> int | None:
    return (engine.pack or _PACKS[engine.device]) if isinstance(client, TrainsTogether) else None


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fedlab-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(observers: Sequence[Observer], line: str, detail: str | None) -> None:
    for observer in observers:
        observer.on_message(line, detail)
