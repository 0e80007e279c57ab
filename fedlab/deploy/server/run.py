"""A run over real nodes from beginning to end, or resumed from its checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from fedlab.common.clock import WallClock
from fedlab.common.files import provide_folder
from fedlab.config.file import experiment_of_run, load_experiment
from fedlab.config.schema import AvailabilityTable, Experiment, LinkTable
from fedlab.deploy.server.live_grid import LiveGrid
from fedlab.deploy.server.log_buffer import LogBuffer
from fedlab.deploy.server.measured_cost import Measured
from fedlab.deploy.server.validate_reply import furthest
from fedlab.deploy.settings import RunSettings, settings_of_run
from fedlab.devices.profile import DeviceProfile, built_in_profiles, load_profile
from fedlab.errors import UserError
from fedlab.messages.flower_private import untested_flower
from fedlab.results.data_report import tell_data
from fedlab.results.environment import describe_environment
from fedlab.results.folder import RunFolder, create, next_free
from fedlab.results.recorder import Observer, Recorder, refuse_if_written
from fedlab.server.assemble import construct, refit
from fedlab.server.bench import bench_of
from fedlab.server.example_limits import FirstAnswers
from fedlab.server.extend import changes_end, check_end, first_difference, goes_on, reopen
from fedlab.server.round_loop import PASSES
from fedlab.server.serve import World, serve
from fedlab.training.bundle import prepare_workbench
from fedlab.training.evaluate import measure


def run_measured(grid: Grid, run_config: Mapping[str, Any], observer: Observer) -> dict[str, Any]:
    """Run the experiment of a run's configuration over real nodes, on the wall clock; return the summary.

    If the run has a name and its folder is there, resume it from its checkpoint; with a later end, such as more rounds,
    also one that has ended.

    Raises:
        UserError: the experiment or a setting cannot be used, or the run of that name is another or has ended.
        RunFailedError: too few nodes came, or the run cannot go on.
    """
    settings = settings_of_run(run_config)
    log = LogBuffer(observer)
    live = LiveGrid(grid, wait=settings.wait, tell=log)
    started = _started(settings)
    # Before waiting for nodes: what is wrong with the experiment now is still wrong when they are there.
    planned = _experiment(run_config, clients=settings.wait.nodes, started=started)
    assembled = construct(_without_link(planned))
    _check_deployable(planned)
    provide_folder(settings.out, f"out: {settings.out}")
    clients = max(len(live.gather()), settings.wait.nodes)  # those that are still to come are clients, too
    experiment = _experiment(run_config, clients=clients, started=started)
    assembled = refit(assembled, _without_link(experiment))
    workbench = prepare_workbench(experiment)
    folder = _begin(settings, experiment) if started is None else _reopened(started, experiment)
    recorder = Recorder(folder)
    log.record(recorder)
    if untested := untested_flower():
        log(untested)
    tell_data(folder, workbench.task.report, log)
    bench = bench_of(experiment, workbench, partial(measure, workbench))
    return serve(
        assembled,
        bench,
        _world(live, [*map(len, workbench.partitions)]),
        folder=folder,
        recorder=recorder,
        observers=[observer],
    )


def _world(live: LiveGrid, sizes: Sequence[int]) -> World:
    """Return the real nodes, on the wall clock, with measured costs; `sizes` are the examples of the partitions."""
    clock = WallClock()
    return World(
        grid=live,
        partitions=live.partitions,
        clock=clock,
        physics=Measured(now_seconds=clock.now, board=partial(_board, live.board)),
        update_limit=furthest,
        passes=(*PASSES, "refused"),  # a node whose replies are refused, as a hostile one's, must not end the run
        limits=FirstAnswers(partial(_most_examples, live.parts_of, sizes), live.partitions),
    )


def _started(settings: RunSettings) -> RunFolder | None:
    """Return the folder of a run that was begun under this name, None if there is none."""
    folder = RunFolder(settings.out / settings.run)
    if not settings.run or not folder.experiment.exists():
        return None
    refuse_if_written(folder)
    return folder


def _reopened(folder: RunFolder, experiment: Experiment) -> RunFolder:
    """Return the folder of a run that was begun before, with the end that it has now."""
    written = load_experiment(folder.experiment)
    return reopen(folder, experiment) if changes_end(experiment, written) else folder


def _begin(settings: RunSettings, experiment: Experiment) -> RunFolder:
    path = settings.out / settings.run if settings.run else next_free(settings.out / experiment.name)
    folder = create(path)
    folder.write_environment(describe_environment() | {"deployed": True})
    folder.write_experiment(experiment)
    return folder


def _experiment(run_config: Mapping[str, Any], *, clients: int, started: RunFolder | None) -> Experiment:
    """Return the experiment; of a resumed run it must be the same, except for its end.

    Real clients come and go by themselves: the experiment's `availability` is left out.
    """
    if started is not None:
        clients = _clients(load_experiment(started.experiment))
    experiment = experiment_of_run(run_config, clients=clients)
    experiment = experiment.model_copy(update={"availability": AvailabilityTable()})
    if started is not None:
        _check_resumed(started, experiment)
    return experiment


def _without_link(experiment: Experiment) -> Experiment:
    """Return the experiment on the default link: real nodes have their own, and traces of another may not be here."""
    return experiment.model_copy(update={"link": LinkTable()})


def _check_deployable(experiment: Experiment) -> None:
    """Raise a UserError if the strategy is to do what it can do in simulations only."""
    if experiment.strategy.options.get("late") == "carry":
        raise UserError(
            "strategy.options.late = 'carry': in simulations only, a server of real nodes looks at no late reply; use"
            " late = 'drop'"
        )
    if experiment.evaluation.clients_every:
        raise UserError(
            "evaluation.clients_every: in simulations only, a server of real nodes does not have their examples; use 0"
        )


def _check_resumed(folder: RunFolder, now: Experiment) -> None:
    """Raise a UserError if a run was begun with another experiment, or has ended and does not go on."""
    then = load_experiment(folder.experiment)
    if key := first_difference(now, then):
        raise UserError(f"{folder.path}: this run was begun with another {key}; choose another run='NAME'")
    if changes_end(now, then):
        check_end(folder, now)
    if folder.summary() is not None and not goes_on(folder, now):
        raise UserError(
            f"{folder.path}: this run has ended; choose another run='NAME', or a later end such as more rounds"
        )


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
