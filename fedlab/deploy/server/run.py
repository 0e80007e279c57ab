"""A run over real nodes from beginning to end, or on from where one was cut off."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from fedlab.common.clock import WallClock
from fedlab.common.files import provide_folder
from fedlab.config.file import experiment_of_run, load_experiment
from fedlab.config.schema import AvailabilityTable, Experiment
from fedlab.deploy.server.live_grid import LiveGrid
from fedlab.deploy.server.log_buffer import Voice
from fedlab.deploy.server.measured_cost import Measured
from fedlab.deploy.server.validate_reply import furthest
from fedlab.deploy.settings import RunSettings, settings_of_run
from fedlab.devices.profile import DeviceProfile, built_in_profiles, load_profile
from fedlab.errors import UserError
from fedlab.results.environment import describe_environment
from fedlab.results.folder import RunFolder, create, next_free
from fedlab.results.recorder import Observer, Recorder
from fedlab.server.assemble import bench_of, check_clients_suffice, serve
from fedlab.server.example_limits import FirstAnswers
from fedlab.server.factory import load_strategy
from fedlab.training.bundle import open_workbench
from fedlab.training.evaluate import measure


def run_measured(grid: Grid, run_config: Mapping[str, Any], observer: Observer) -> dict[str, Any]:
    """Run the experiment of a run's configuration over real nodes, on the wall clock; return the summary.

    A run with a name whose folder is there is gone on with from its checkpoint.

    Raises:
        UserError: the experiment or a setting cannot be used, or the run of that name is another or has ended.
        RunFailedError: too few nodes came, or the run cannot go on.
    """
    settings = settings_of_run(run_config)
    voice = Voice(observer)
    live = LiveGrid(grid, patience=settings.patience, tell=voice)
    started = _started(settings)
    # Before anybody is waited for: what is wrong with it now is still wrong when the nodes are there.
    _check_deployable(_experiment(run_config, clients=settings.patience.nodes, started=started))
    provide_folder(settings.out, f"out: {settings.out}")
    clients = max(len(live.gather()), settings.patience.nodes)  # those that are still to come are clients, too
    experiment = _experiment(run_config, clients=clients, started=started)
    check_clients_suffice(experiment, _clients(experiment))
    workbench = open_workbench(run_config, {"num-partitions": _clients(experiment)})
    folder = started or _begin(settings, experiment)
    clock, recorder = WallClock(), Recorder(folder)
    voice.record(recorder)
    return serve(
        experiment,
        bench_of(experiment, workbench, partial(measure, workbench)),
        grid=live,
        partitions=live.partitions,
        clock=clock,
        folder=folder,
        recorder=recorder,
        observers=[observer],
        physics=Measured(now_seconds=clock.now, board=partial(_board, live.board)),
        update_limit=furthest,
        limits=FirstAnswers(partial(_most_examples, live.parts_of, [*map(len, workbench.partitions)]), live.partitions),
    )


def _started(settings: RunSettings) -> RunFolder | None:
    """Return the folder of a run that was begun under this name."""
    folder = RunFolder(settings.out / settings.run)
    if not settings.run or not folder.experiment.exists():
        return None
    if folder.summary() is not None:
        raise UserError(f"{folder.path}: this run has ended; choose another run='NAME'")
    return folder


def _begin(settings: RunSettings, experiment: Experiment) -> RunFolder:
    path = settings.out / settings.run if settings.run else next_free(settings.out / experiment.name)
    folder = create(path)
    folder.write_environment(describe_environment() | {"deployed": True})
    folder.write_experiment(experiment)
    return folder


def _experiment(run_config: Mapping[str, Any], *, clients: int, started: RunFolder | None) -> Experiment:
    """Return the experiment; of a run that is gone on with it must be the same.

    Real clients come and go by themselves: the experiment's `availability` is left out.
    """
    if started is not None:
        clients = _clients(load_experiment(started.experiment))
    experiment = experiment_of_run(run_config, clients=clients)
    experiment = experiment.model_copy(update={"availability": AvailabilityTable()})
    if started is not None:
        _check_same(experiment, load_experiment(started.experiment), started.path)
    return experiment


def _check_deployable(experiment: Experiment) -> None:
    """Raise a UserError if there is no such strategy, or it is to do what it does in simulations only."""
    load_strategy(experiment)
    if experiment.strategy.options.get("late") == "carry":
        raise UserError(
            "strategy.options.late = 'carry': in simulations only, a server of real nodes looks at no late reply; use"
            " late = 'drop'"
        )


def _check_same(now: Experiment, then: Experiment, path: Path) -> None:
    """Raise a UserError if a run was begun with another experiment; the folder of the app may be another."""
    for key in type(now).model_fields:
        if key != "base_folder" and getattr(now, key) != getattr(then, key):
            raise UserError(f"{path}: this run was begun with another {key}; choose another run='NAME'")


def _clients(experiment: Experiment) -> int:
    return experiment.task.partition.clients


def _most_examples(parts_of: Callable[[int], int | None], sizes: Sequence[int], partition_id: int) -> int | None:
    """Return how many examples the node of a partition can have, None if it has data of its own.

    One that splits the experiment's data as the server does has its partition; of another it is known only that its
    part is no more than all.
    """
    parts = parts_of(partition_id)
    if parts is None:
        return None
    return sizes[partition_id] if parts == len(sizes) and 0 <= partition_id < parts else sum(sizes)


def _board(board: Callable[[int], str], partition_id: int) -> tuple[str, DeviceProfile | None]:
    """Return what a node runs on, with its profile if it is a board fedlab knows."""
    name = board(partition_id)
    return name or "unknown", load_profile(name, Path()) if name in built_in_profiles() else None
