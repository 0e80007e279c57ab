"""The server's side of a run from beginning to end: the same for simulated and for real clients."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid
from safetensors.numpy import save_file

from fedlab.billing.timed_grid import Physics
from fedlab.common.clock import Clock
from fedlab.common.durable import sync_tree
from fedlab.common.files import replacing, share
from fedlab.config.schema import Experiment
from fedlab.data.metrics import others_of
from fedlab.models.export.final_model import is_adapter
from fedlab.results.digests import digest_arrays
from fedlab.results.folder import RunFolder
from fedlab.results.observers import Audience
from fedlab.results.recorder import Observer, Recorder
from fedlab.results.records import Dropout
from fedlab.results.trackers.base import tracked_run
from fedlab.results.trackers.guarded import tracking
from fedlab.results.write import write_results
from fedlab.server.assemble import Assembled
from fedlab.server.bench import Bench, first_model, initial_set
from fedlab.server.context import HELD_OUT, UpdateLimit, no_limit
from fedlab.server.example_limits import ExampleLimits, PartitionSizes
from fedlab.server.factory import set_named
from fedlab.server.round_loop import PASSES, BestModel, RoundLoop, RunState
from fedlab.server.run_checkpoint import RunCheckpoint, resumable_parts
from fedlab.server.wiring import attached_server, grid_stack, round_loop


@dataclass(frozen=True, kw_only=True)
class World:
    """Where a run takes place: the grid of its clients, the partition of each node, the clock, and what work costs.

    `update_limit` is for strategies that have none of their own. `limits` bounds the examples that clients claim; by
    default these are the sizes of the partitions. `passes` are the reasons for losing work that may pass by themselves.
    """

    grid: Grid
    partitions: Mapping[int, int]
    clock: Clock
    physics: Physics
    update_limit: UpdateLimit = no_limit
    limits: ExampleLimits | None = None
    passes: Collection[Dropout] = PASSES


def serve(
    assembled: Assembled,
    bench: Bench,
    world: World,
    *,
    folder: RunFolder,
    recorder: Recorder,
    observers: Sequence[Observer],
) -> dict[str, Any]:
    """Run an experiment over a grid and write everything to its folder; return the summary.

    Those that the experiment names to track it are told of the run, too; what they raise is told in one line.

    If the folder has a checkpoint, resume from it; records written after it are discarded and recomputed. The recorder
    is closed when everything is written, or the run has failed.

    Raises:
        UserError: the checkpoint cannot be used, or the first model does not fit the encoder.
        RunFailedError: the run cannot go on.
    """
    run, tell = tracked_run(assembled.experiment, folder), Audience([recorder, *observers]).on_message
    with closing(recorder), tracking(assembled.trackers, run, tell) as tracked:
        told = [*observers, *tracked.observers]
        final = _run(assembled, bench, world, folder=folder, recorder=recorder, observers=told)
        recorder.mark()  # synced, before a summary says that the run has ended
        summary = _write_results(assembled, bench, folder, final, Audience([recorder, *told]))
        tracked.ended(summary, folder.results())
        return summary


def _run(
    assembled: Assembled,
    bench: Bench,
    world: World,
    *,
    folder: RunFolder,
    recorder: Recorder,
    observers: Sequence[Observer],
) -> RunState:
    """Run the rounds from the checkpoint, or from the first model; return the last state."""
    limits = world.limits or PartitionSizes(bench.partition_sizes, world.partitions)
    checkpoint = RunCheckpoint(
        path=folder.checkpoint,
        parts=resumable_parts(clock=world.clock, clients=world.grid, limits=limits, strategy=assembled.strategy),
        recorder=recorder,
        every=assembled.experiment.checkpoint.every,
    )
    loop = _loop(assembled, bench, world, limits, checkpoint, Audience([recorder, *observers]))
    state = checkpoint.restore()
    if state is None:
        state = _first_state(assembled, bench)
        _write_samples(bench, folder, state, "before")
        if assembled.experiment.scores_start:
            _write_start(assembled.experiment, bench, folder, state)
    return loop.run(state)


def _loop(
    assembled: Assembled,
    bench: Bench,
    world: World,
    limits: ExampleLimits,
    checkpoint: RunCheckpoint,
    observer: Observer,
) -> RoundLoop:
    server = attached_server(
        assembled,
        sizes=bench.sizes,
        initial=initial_set(assembled.experiment, bench.shape),
        partitions=world.partitions,
        clock=world.clock,
        measure=bench.measure,
        observer=observer,
        update_limit=world.update_limit,
        client_scores=bench.client_scores,
    )
    grid = grid_stack(
        world.grid,
        assembled,
        physics=world.physics,
        reference=bench.reference,
        limits=limits,
        server=server,
        observer=observer,
    )
    return round_loop(
        assembled,
        grid=grid,
        server=server,
        observer=observer,
        save=checkpoint.save,
        wall_seconds=checkpoint.wall_seconds,
        passes=world.passes,
    )


def _first_state(assembled: Assembled, bench: Bench) -> RunState:
    experiment = assembled.experiment
    configuration = initial_set(experiment, bench.shape).configuration
    return RunState(server_round=0, arrays=first_model(experiment, bench), configuration=configuration)


def _write_results(
    assembled: Assembled, bench: Bench, folder: RunFolder, final: RunState, observer: Observer
) -> dict[str, Any]:
    """Write the last model and the best one, each as arrays and for its library, then all that records tell."""
    for old in (folder.adapter, folder.model, folder.best_model):  # of the run before it went on to more rounds
        shutil.rmtree(old, ignore_errors=True)
    exported = _write_model(assembled, bench, folder, final, folder.final, None)
    written, more = [folder.final, exported], {"run_dir": str(folder.path)}
    if best := final.best:
        if best.server_round == final.server_round:
            folder.best.unlink(missing_ok=True)
            share(folder.final, folder.best)
            share(exported, folder.best_model)
        else:
            _write_model(assembled, bench, folder, best, folder.best, folder.best_model)
        written += [folder.best, folder.best_model]
        more |= {"best_arrays_digest": digest_arrays(best.arrays)}
    for each in written:  # before a summary says that the run has ended
        if each.exists():
            sync_tree(each)
    _write_samples(bench, folder, final, "after")
    digest = digest_arrays(final.arrays)
    return write_results(
        folder,
        assembled.experiment,
        status="finished",
        arrays_digest=digest,
        more=more,
        tell=observer.on_message,
    )


def _write_samples(bench: Bench, folder: RunFolder, state: RunState, when: str) -> None:
    """Let a language model write the texts that are kept of it, before and after training."""
    if bench.samples is not None:
        folder.write_generations(when, bench.samples(state.arrays, state.configuration))


def _write_start(experiment: Experiment, bench: Bench, folder: RunFolder, state: RunState) -> None:
    """Score the first model on validation and test, and write its measures."""
    measures: dict[str, dict[str, float]] = {}
    for split in HELD_OUT:
        score = bench.measure(state.arrays, split, state.configuration)
        measures[split] = {experiment.task.scored_by: float(score), **others_of(score)}
    folder.write_start(measures)


def _write_model(
    assembled: Assembled, bench: Bench, folder: RunFolder, state: RunState | BestModel, arrays: Path, place: Path | None
) -> Path:
    """Write a model's arrays, and the model for its library: to a place, or to the folder of its kind; return that."""
    with replacing(arrays) as partial:  # the file that is replaced may have other names, in repriced runs
        save_file(state.arrays, partial)
    trained = set_named(assembled.experiment, state.configuration)
    place = place or (folder.adapter if is_adapter(trained) else folder.model)
    bench.export(state.arrays, trained, place)
    return place
