"""A pool of Ray actors that never idles while there is work, survives their deaths and names the one that hangs."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from fedlab.common.clock import stopwatch
from fedlab.common.spans import span
from fedlab.errors import RunFailedError

_IN_FLIGHT = 2  # calls at an actor while there are many: the next one starts while the last one's answer travels
_TRIES = 2


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a method of whichever actor is free; its time limit is multiplied by `size`."""

    method: str
    arguments: tuple[Any, ...]
    about: str
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What stands for the answer of a call whose actor died or hung, every time it was tried."""

    reason: str


@dataclass(kw_only=True)
class _Actor:
    number: int
    handle: Any
    calls: dict[Any, int] = field(default_factory=dict)  # object reference to index of the call, oldest first
    silent: Callable[[], float] = field(default_factory=stopwatch)  # seconds it has been at the oldest


class WorkerPool:
    """Actors that are given calls in their order as they come free.

    They are made by `make`, and by `remake` in place of one that is gone.

    `on_trouble` is told, in one line, of every actor that died, or was ended because it was at a call for longer than
    `hang_seconds` times the call's size.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        workers: int,
        remake: Callable[[], Any] | None = None,
        hang_seconds: float,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._remake = remake or make
        self._hang_seconds = hang_seconds
        self._on_trouble = on_trouble
        self._actors = [_Actor(number=number, handle=make()) for number in range(workers)]

    @property
    def workers(self) -> int:
        """Return the number of actors."""
        return len(self._actors)

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Return the calls' answers in the order of the calls; a call that cannot be answered gives a `Lost`.

        Raises:
            RunFailedError: a call raised.
        """
        for actor in self._actors:
            actor.calls = {}  # what a run that failed left behind is nobody's any more
        work = _Work(calls=calls, waiting=deque(range(len(calls))), tries=[0] * len(calls), answers=[None] * len(calls))
        while work.waiting or any(actor.calls for actor in self._actors):
            self._hand_out(work)
            references = [reference for actor in self._actors for reference in actor.calls]
            patience = min(self._left(actor, work) for actor in self._actors if actor.calls)
            ready, _ = ray.wait(references, num_returns=1, timeout=max(0.0, patience))
            for reference in ready:
                self._take(reference, work)
            self._end_hanging(work)
        return work.answers

    def close(self) -> None:
        """End every actor."""
        for actor in self._actors:
            ray.kill(actor.handle)

    def _hand_out(self, work: "_Work") -> None:
        for queued in range(_IN_FLIGHT):
            for actor in self._actors:
                # Of the last calls none may wait behind a long one while another actor comes free.
                last = len(work.waiting) <= len(self._actors)
                if work.waiting and len(actor.calls) <= queued and not (queued and last):
                    actor.silent = actor.silent if actor.calls else stopwatch()
                    index = work.waiting.popleft()
                    call = work.calls[index]
                    actor.calls[getattr(actor.handle, call.method).remote(*call.arguments)] = index

    def _take(self, reference: Any, work: "_Work") -> None:
        actor = next(actor for actor in self._actors if reference in actor.calls)
        index = actor.calls[reference]
        try:
            with span("transfer"):
                work.answers[index] = ray.get(reference)
            del actor.calls[reference]
            actor.silent = stopwatch()
        except RayTaskError as error:
            raise RunFailedError(
                f"worker {actor.number} failed at {work.calls[index].about}: {error.cause!r}"
            ) from error
        except RayActorError as error:
            self._replace(actor, work, f"died at {{about}}: {_why(error)}")
        except RayError as error:  # the answer was on a machine that is gone, or the actor ran out of memory
            ray.kill(actor.handle)
            self._replace(actor, work, f"gave no answer at {{about}}: {_why(error)}")

    def _end_hanging(self, work: "_Work") -> None:
        for actor in self._actors:
            if actor.calls and self._left(actor, work) <= 0 and not _answered(next(iter(actor.calls))):
                ray.kill(actor.handle)
                self._replace(actor, work, f"has not answered for {self._limit(actor, work):g} s at {{about}}")

    def _left(self, actor: _Actor, work: "_Work") -> float:
        return self._limit(actor, work) - actor.silent()

    def _limit(self, actor: _Actor, work: "_Work") -> float:
        return self._hang_seconds * work.calls[next(iter(actor.calls.values()))].size

    def _replace(self, actor: _Actor, work: "_Work", what: str) -> None:
        """Start the actor again; only the call it was at counts as tried, those queued behind it just go back."""
        current, *queued = actor.calls.values()
        reason = f"worker {actor.number} " + what.replace("{about}", work.calls[current].about)
        self._on_trouble(reason)
        work.tries[current] += 1
        if work.tries[current] < _TRIES:
            queued.insert(0, current)
        else:
            work.answers[current] = Lost(reason=reason)
        work.waiting.extendleft(reversed(queued))
        actor.calls = {}
        actor.handle = self._remake()


def _answered(reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])


def _why(error: RayError) -> str:
    """Return the line that tells most: the exception where the actor could not be made, else Ray's first."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if "creation task" in lines[0] else lines[0]


@dataclass(kw_only=True)
class _Work:
    calls: Sequence[Call]
    waiting: deque[int]
    tries: list[int]
    answers: list[Any]


def shared(values: Iterable[Any]) -> dict[int, Any]:
    """Put each distinct object into Ray's store once: `id(value)` to its reference."""
    with span("transfer"):
        return {key: ray.put(value) for key, value in {id(value): value for value in values}.items()}
