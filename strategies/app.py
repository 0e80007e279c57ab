"""The ServerApp that Flower's own runtimes load: an experiment, run over whatever nodes there are."""

import logging
from functools import partial
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedlab.clock import VirtualClock
from fedlab.environment import describe_environment
from fedlab.experimentfile import experiment_of_run
from fedlab.grid import find_partitions
from fedlab.measuring import measure
from fedlab.recorder import Recorder
from fedlab.runfolder import create, next_free
from fedlab.serving import bench_of, check_clients_suffice, serve
from fedlab.workbench import open_workbench

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment that the run's configuration names; write its folder below `out`."""
    partitions = find_partitions(grid)
    experiment = experiment_of_run(context.run_config, clients=len(partitions))
    check_clients_suffice(experiment, len(partitions))
    workbench = open_workbench(context.run_config, {"num-partitions": len(partitions)})
    folder = create(next_free(Path(str(context.run_config["out"])).expanduser() / experiment.name))
    folder.write_experiment(experiment)
    folder.write_environment(describe_environment())
    summary = serve(
        experiment,
        bench_of(experiment, workbench, partial(measure, workbench)),
        grid=grid,
        partitions=partitions,
        clock=VirtualClock(),
        folder=folder,
        recorder=Recorder(folder),
        observers=[],
    )
    logging.getLogger("fedlab").warning("accuracy %.3f, run folder %s", summary["accuracy"], folder.path)
