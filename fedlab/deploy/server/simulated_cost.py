"""A run on Flower's own simulation: its nodes, but the boards, links and time of the experiment."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flwr.serverapp import Grid

from fedlab.billing.timed_grid import find_partitions
from fedlab.common.clock import VirtualClock
from fedlab.config.file import experiment_of_run
from fedlab.deploy.settings import settings_of_run
from fedlab.results.environment import describe_environment
from fedlab.results.folder import create, next_free
from fedlab.results.recorder import Observer, Recorder
from fedlab.server.assemble import assemble
from fedlab.server.bench import bench_of
from fedlab.server.serve import World, serve
from fedlab.training.bundle import prepare_workbench
from fedlab.training.evaluate import measure


def run_simulated(grid: Grid, run_config: Mapping[str, Any], observer: Observer) -> dict[str, Any]:
    """Run the experiment of a run's configuration over the nodes Flower simulates; return the summary.

    Raises:
        UserError: the experiment or a setting cannot be used.
        RunFailedError: a node does not say what it holds, or the run cannot go on.
    """
    partitions = find_partitions(grid)
    experiment = experiment_of_run(run_config, clients=len(partitions))
    assembled = assemble(experiment)
    workbench = prepare_workbench(experiment)
    bench = bench_of(experiment, workbench, partial(measure, workbench))
    folder = create(next_free(settings_of_run(run_config).out / experiment.name))
    folder.write_experiment(experiment)
    folder.write_environment(describe_environment())
    world = World(grid=grid, partitions=partitions, clock=VirtualClock(), physics=assembled.physics(bench.shape))
    return serve(assembled, bench, world, folder=folder, recorder=Recorder(folder), observers=[observer])
