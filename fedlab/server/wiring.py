"""How a run's parts are connected: what a strategy is lent, the grids below it, and the round loop above it."""

from collections.abc import Callable, Collection, Mapping

from flwr.serverapp import Grid

from fedlab.billing.availability_wait import AvailabilityWait
from fedlab.billing.timed_grid import Physics, TimedGrid
from fedlab.codecs.transport.reference import Reference
from fedlab.codecs.transport.server import CodingGrid
from fedlab.common.arrays import Arrays
from fedlab.common.clock import Clock
from fedlab.models.peft.base import ModelSizes, TrainableSet
from fedlab.results.recorder import Observer
from fedlab.results.records import Dropout
from fedlab.server.assemble import Assembled
from fedlab.server.context import Attached, ClientScores, HeldOut, Measure, Server, UpdateLimit, no_limit
from fedlab.server.divergence import divergence_rule
from fedlab.server.example_limits import ExampleLimits
from fedlab.server.requirements import layers_of
from fedlab.server.resending_grid import ResendingGrid
from fedlab.server.round_loop import PASSES, RoundLoop, Save
from fedlab.server.strategy_calls import ask
from fedlab.server.vetting_grid import VettingGrid, terms_of
from fedlab.workload.workload import Configuration

Refuse = Callable[[int, str], None]  # notes that the last work of a node is not used, and why


def attached_server(
    assembled: Assembled,
    *,
    sizes: ModelSizes,
    initial: TrainableSet,
    partitions: Mapping[int, int],
    clock: Clock,
    measure: Measure,
    observer: Observer,
    update_limit: UpdateLimit = no_limit,
    client_scores: ClientScores | None = None,
) -> Server:
    """Return the server's side of a run, lent to its strategy, and to one within that, if they want it."""

    def plain_score(arrays: Arrays, split: HeldOut, configuration: Configuration) -> float:
        # A plain number, as a strategy may keep it, and a checkpoint holds no others.
        return float(measure(arrays, split, configuration))

    server = Server(
        seed=assembled.experiment.seed,
        clock=clock,
        sizes=sizes,
        initial=initial,
        partitions=partitions,
        measure=plain_score,
        scores=measure,
        on_trial=observer.on_trial,
        on_step=observer.on_step,
        update_limit=update_limit,
        client_scores=client_scores,
    )
    for strategy in layers_of(assembled.strategy):
        if isinstance(strategy, Attached):
            ask(strategy, "attach", server)
    return server


def grid_stack(
    grid: Grid,
    assembled: Assembled,
    *,
    physics: Physics,
    reference: Reference,
    limits: ExampleLimits,
    server: Server,
    observer: Observer,
) -> Grid:
    """Return the grid that the strategy sees: each layer stands on the one before, the clients' own grid lowest."""

    def refuse(node_id: int, reason: str) -> None:
        partition_id = server.partitions[node_id]
        server.ledger.refuse(partition_id, reason)
        observer.on_message(f"client {partition_id}: {reason}")

    timed = timed_grid(grid, assembled, physics=physics, server=server)
    coded = coding_grid(timed, assembled, reference=reference, refuse=refuse)
    return VettingGrid(
        ResendingGrid(coded, note=server.ledger.note),
        terms=terms_of(assembled.strategy),
        limits=limits,
        refuse=lambda node_id, reason: refuse(node_id, f"turned away: {reason}"),
    )


def timed_grid(grid: Grid, assembled: Assembled, *, physics: Physics, server: Server) -> TimedGrid:
    """Return a grid that bills what passes, and lists clients as the experiment's availability says."""
    availability_wait = AvailabilityWait(
        assembled.availability,
        clock=server.clock,
        partitions=server.partitions,
        at_least=assembled.requirements.waits_for,
    )
    return TimedGrid(
        grid,
        clock=server.clock,
        physics=physics,
        availability_wait=availability_wait,
        partitions=server.partitions,
        on_clients=server.ledger.bill,
    )


def coding_grid(grid: Grid, assembled: Assembled, *, reference: Reference, refuse: Refuse) -> Grid:
    """Return a grid that encodes and decodes with the experiment's codecs, the same grid if it names none."""
    if assembled.coding is None:
        return grid
    return CodingGrid(grid, coding=assembled.coding, reference=reference, refuse=refuse)


def round_loop(
    assembled: Assembled,
    *,
    grid: Grid,
    server: Server,
    observer: Observer,
    save: Save,
    wall_seconds: Callable[[], float],
    passes: Collection[Dropout] = PASSES,
) -> RoundLoop:
    """Return the loop that runs the experiment's rounds over a stack of grids."""
    experiment = assembled.experiment
    return RoundLoop(
        strategy=assembled.strategy,
        grid=grid,
        server=server,
        stop=assembled.stop,
        validation_every=experiment.evaluation.validation_every,
        test_every=experiment.evaluation.test_every,
        clients_every=experiment.evaluation.clients_every,
        observer=observer,
        save=save,
        wall_seconds=wall_seconds,
        prefills=experiment.client.prefill,
        evaluates=assembled.requirements.evaluates,
        divergence=divergence_rule(experiment),
        passes=passes,
    )
