"""The stock of a session: actors that have imported what they need, of which each serves one run and ends with it."""

import os
import select
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from fedlab.errors import RunFailedError
from fedlab.simulation.engine.actor import ClientActor, ClientSetup

STOCK, NAMESPACE = "stock", "fedlab"
_PAUSE_SECONDS = 1.0  # in which a run ends, without sharing the cores with new actors
_OF_RAY = ("RAY_", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")  # what Ray sets for each of its processes


@dataclass(frozen=True, kw_only=True)
class RunProcess:
    """The process of a run, and what its actors inherit where it starts them itself."""

    process_id: int = field(default_factory=os.getpid)
    path: Sequence[str] = field(default_factory=lambda: list(sys.path))
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class ClientActorInStock(ClientActor):
    """An actor that has no setup yet."""

    def __init__(self) -> None:
        """Only the imports of this module are done."""

    def is_warm(self) -> bool:
        """Answer, as soon as everything is imported."""
        return True

    def serve_run(self, setup: ClientSetup, run: RunProcess) -> None:
        """Be an actor of a run as if it had started this one, and end with its process."""
        threading.Thread(target=_end_with, args=(os.pidfd_open(run.process_id),), daemon=True).start()
        sys.path[:] = run.path
        kept = {name: value for name, value in os.environ.items() if name.startswith(_OF_RAY)}
        os.environ.clear()
        os.environ.update({**run.environment, **kept})
        super().__init__(setup)


def _end_with(process: int) -> None:
    """Wait until a process has ended, and end this one: nothing else tells it that a run was killed."""
    select.select([process], [], [])
    os._exit(1)


class Stock:
    """Keeps as many actors ready as the session has cores, and gives them out."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._make = ray.remote(num_cpus=0)(ClientActorInStock)
        self._spare: list[Any] = []
        self._refill()

    def refill_soon(self) -> None:
        """Start actors in place of those that were given out, when the run that asks for it has ended."""
        threading.Timer(_PAUSE_SECONDS, self._refill).start()

    def _refill(self) -> None:
        self._spare += [self._make.remote() for _ in range(self._cores - len(self._spare))]

    def is_warm(self) -> bool:
        """Answer when all actors are ready."""
        return all(ray.get([each.is_warm.remote() for each in self._spare]))

    def take(self, count: int) -> list[Any]:
        """Give out actors, each to one run only; those that are not ready start now."""
        return [self._spare.pop() if self._spare else self._make.remote() for _ in range(count)]


def open_stock(cores: int) -> None:
    """Start the stock of a session and wait for its actors."""
    options = {"name": STOCK, "namespace": NAMESPACE, "lifetime": "detached"}
    ray.get(ray.remote(num_cpus=0)(Stock).options(**options).remote(cores).is_warm.remote())


def take_actors(count: int, setup: Any) -> list[Any]:
    """Take actors of the session that this process has joined, for a setup by reference; dead ones are left out.

    Raises:
        RunFailedError: an actor cannot serve the run.
    """
    actors = ray.get(ray.get_actor(STOCK, NAMESPACE).take.remote(count))
    run, taken = RunProcess(), []
    for actor, answer in [(each, each.serve_run.remote(setup, run)) for each in actors]:
        try:
            ray.get(answer)
            taken.append(actor)
        except RayTaskError as error:
            raise RunFailedError(f"an actor of the session cannot serve the run: {error.cause!r}") from error
        except RayActorError:  # it was killed while it waited
            continue
    return taken


def refill_stock() -> None:
    """Let the session that this process has joined prepare for the next run."""
    ray.get(ray.get_actor(STOCK, NAMESPACE).refill_soon.remote())
