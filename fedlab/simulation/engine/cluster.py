"""The Ray cluster of a run: joined, the actors that have room in it, and left again."""

import contextlib
import itertools
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedlab.common.short_text import raised
from fedlab.config.run_tables import OWN_RAY, EngineTable
from fedlab.errors import RunFailedError, UserError
from fedlab.simulation.engine.actor import ClientActor, ClientSetup
from fedlab.simulation.engine.own_ray import ROOT, OwnRay, does_not_start, reread_mode, set_ray_options
from fedlab.simulation.engine.shipping import clear, ship
from fedlab.simulation.engine.workers import WorkerPool
from fedlab.simulation.session.record import SessionRecord
from fedlab.simulation.session.stock import refill_stock, take_actors
from fedlab.training.bundle import bundle_files

_CONNECT_SECONDS = 5.0  # Ray itself tries for a quarter of an hour


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster with room for actors, one on each of `nodes`, that can be any client of a setup.

    In that of a session, the actors are there already.
    """

    engine: EngineTable
    setup: ClientSetup
    nodes: Sequence[str]
    of_session: bool = False

    def pool(self, on_trouble: Callable[[str], None]) -> WorkerPool:
        """Start the run's actors; `on_trouble` is told, in one line, of each that is lost."""
        # No cores are claimed, so that an actor of a machine that is lost finds room on another.
        gpus = 1 / self.engine.actors_per_gpu if self.engine.device == "cuda" else 0
        actor, reference = ray.remote(num_cpus=0, num_gpus=gpus)(ClientActor), ray.put(self.setup)
        nodes = iter(self.nodes)
        there = take_actors(len(self.nodes), reference) if self.of_session else []

        def make() -> Any:
            if there:
                return there.pop()
            where = "SPREAD" if gpus else NodeAffinitySchedulingStrategy(next(nodes), soft=False)
            return actor.options(scheduling_strategy=where).remote(reference)

        # In place of a lost one: Ray may not know yet that its machine is gone, but this machine is there.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        return WorkerPool(
            make,
            remake=lambda: actor.options(scheduling_strategy=here).remote(reference),
            workers=len(self.nodes),
            hang_seconds=self.engine.hang_seconds,
            on_trouble=on_trouble,
        )


@contextmanager
def cluster(engine: EngineTable, setup: ClientSetup, place: OwnRay | SessionRecord | None) -> Iterator[Cluster]:
    """Join the Ray at a place as of `ray_for`, and leave it in the end.

    The prepared data are shipped to a cluster that was there before, whose machines may share no disk.

    Raises:
        UserError: there is no cluster at the address, or it lacks the processors that the experiment asks for.
        RunFailedError: Ray does not start on this machine.
    """
    match place:
        case OwnRay():
            join_own_ray(place)
        case SessionRecord():
            join_session(place)
        case None:
            assert engine.cluster_address is not None
            join_ray(engine.cluster_address)
    try:
        cores = place.cores if place else max(1, int(ray.cluster_resources().get("CPU", 1)))
        nodes = spread(nodes_with_cores(), _workers(engine, cores))
        setup = replace(setup, bundle=replace(setup.bundle, device=engine.device))
        if place is None:
            setup = replace(setup, shipped=ship(bundle_files(setup.bundle.folder)))
        yield Cluster(engine=engine, setup=setup, nodes=nodes, of_session=isinstance(place, SessionRecord))
    finally:
        if setup.shipped is not None and not setup.bundle.prefix:  # states with a prefix are kept for other runs
            clear(setup.bundle.activations)
        if isinstance(place, SessionRecord):
            refill_stock()
        ray.shutdown()


def _workers(engine: EngineTable, cores: int) -> int:
    """Return the number of actors; more of them than a GPU has room for would wait for ever."""
    if engine.device == "cpu":
        return engine.workers or cores
    places = places_on_gpus(engine.actors_per_gpu)
    return min(engine.workers or places, places)


def join_ray(address: str) -> None:
    """Join a Ray cluster.

    Raises:
        UserError: there is no cluster at the address.
    """
    set_ray_options()
    check_reachable(address)
    try:
        _init(address)
    except Exception as error:  # Ray raises plain ones, too
        raise _unreachable(address, (str(error) or type(error).__name__).splitlines()[0]) from error


def join_own_ray(own: OwnRay) -> None:
    """Join a Ray that was started for this process; errors as of its address."""
    address = own.address
    try:
        _init(address)
    except OSError as error:
        if error.errno is not None:  # such as a full disk
            raise
        raise does_not_start(raised(error)) from error
    except Exception as error:
        raise does_not_start(raised(error)) from error


def join_session(session: SessionRecord) -> None:
    """Join the Ray of a session.

    Raises:
        RunFailedError: it has ended meanwhile.
    """
    os.environ.update(session.joining)
    reread_mode()
    try:
        _init(session.address)
    except Exception as error:
        raise RunFailedError(f"the session has ended: {raised(error)}; run the same command again") from error


def _init(address: str) -> None:
    # Actors import from the driver's current folder before all others, and a user's may hold a datasets.py.
    with contextlib.chdir(ROOT), _own_signals():
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, if it has one: Ray sets its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def check_reachable(address: str, *, timeout_seconds: float = _CONNECT_SECONDS) -> None:
    """Connect to the host and port of an address and hang up; addresses of another form are left to Ray.

    Raises:
        UserError: nothing accepts the connection in time.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_seconds).close()
    except TimeoutError as error:
        raise _unreachable(address, f"nothing answers within {timeout_seconds:g} s") from error
    except (OSError, OverflowError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from error


def _unreachable(address: str, reason: str) -> UserError:
    return UserError(
        f"engine.ray_address = '{address}': no Ray cluster can be joined there: {reason}; "
        f"--ray-address {OWN_RAY} starts one here"
    )


def spread(nodes: Mapping[str, int], workers: int) -> list[str]:
    """Return the node of each actor: nodes take turns as long as they have a core left, then all again.

    Ray's own spreading goes by claimed resources, and these actors claim none.

    Raises:
        UserError: no node has a core.
    """
    if not any(nodes.values()):
        raise UserError(
            "engine.ray_address: the cluster has no cores; expected nodes started with --num-cpus 1 or more"
        )
    rounds = range(max(nodes.values(), default=0))
    cores = [node for taken in rounds for node, count in nodes.items() if taken < count]
    return list(itertools.islice(itertools.cycle(cores), workers))


def nodes_with_cores() -> dict[str, int]:
    """Return the ids of the cluster's living nodes that have cores, and how many each has."""
    there = [node for node in ray.nodes() if node["Alive"]]
    return {node["NodeID"]: cores for node in there if (cores := int(node["Resources"].get("CPU", 0)))}


def places_on_gpus(actors_per_gpu: int) -> int:
    """Return how many actors there is room for on the GPUs of the cluster.

    Raises:
        UserError: there is no GPU.
    """
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if not gpus:
        raise UserError("engine.device = 'cuda': Ray finds no GPU here; accepted: cpu")
    return gpus * actors_per_gpu
