"""The checkpoint of a run: all that its parts must remember, written as often as it is worth the time."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flwr.serverapp.strategy import Strategy

from fedlab.common.clock import stopwatch
from fedlab.common.short_text import raised
from fedlab.errors import DamagedError, UserError
from fedlab.results.recorder import Recorder
from fedlab.server.checkpoint import load_tree, save_tree
from fedlab.server.context import Resumable
from fedlab.server.round_loop import BestModel, RunState
from fedlab.server.strategy_memory import memory_of

_ROUNDS = "rounds.jsonl"  # whose lines have the real time of each round: no two runs wrote the same
_WORTH = 20  # rounds take at least this many times as long as the checkpoint that keeps them: under 5% of the time


def checkpoint_due(server_round: int, *, every: int | None, since_seconds: float, last_seconds: float | None) -> bool:
    """Tell whether a round ends with a checkpoint: each `every` rounds, by default when rounds have taken long enough.

    `since_seconds` is the real time since the last checkpoint, `last_seconds` what that took to write, None if this
    process has written none yet.
    """
    if last_seconds is None:
        return True
    if every is not None:
        return server_round % every == 0
    return since_seconds >= _WORTH * last_seconds


class RunCheckpoint:
    """Saves and restores where a run stands: its state, its parts by name, and the lengths of its record files.

    After a restore, records written after the checkpoint are discarded: their rounds are computed again. `timer`
    starts a stopwatch of real time.
    """

    def __init__(
        self,
        *,
        path: Path,
        parts: Mapping[str, Resumable],
        recorder: Recorder,
        every: int | None,
        timer: Callable[[], Callable[[], float]] = stopwatch,
    ) -> None:
        self._path = path
        self._parts = parts
        self._recorder = recorder
        self._every = every
        self._timer = timer
        self._before_seconds = 0.0  # of wall time, in earlier processes
        self._elapsed = timer()
        self._since_last = self._elapsed
        self._last_seconds: float | None = None

    def wall_seconds(self) -> float:
        """Return the real time the run has taken, in all its processes."""
        return self._before_seconds + self._elapsed()

    def save(self, state: RunState, *, next_is_last: bool) -> None:
        """Write a checkpoint if it is due; always after the first round of a process and before the last of the run.

        Raises:
            UserError: the strategy remembers something that a checkpoint cannot hold.
        """
        since = self._since_last()
        if next_is_last or checkpoint_due(
            state.server_round, every=self._every, since_seconds=since, last_seconds=self._last_seconds
        ):
            elapsed = self._timer()
            save_tree(self._path, self._tree(state))
            self._last_seconds = elapsed()
            self._since_last = self._timer()

    def restore(self) -> RunState | None:
        """Restore the parts of the run and return its state, None if there is no checkpoint.

        Raises:
            UserError: the checkpoint, or a file that it refers to, cannot be used.
        """
        tree = load_tree(self._path)
        if tree is None:
            self._recorder.rewind(dict.fromkeys(self._recorder.mark(), 0))
            return None
        self._check_records(tree)
        self._recorder.rewind(tree["marks"])
        for name, part in self._parts.items():
            self._restore(name, part, tree["parts"])
        self._before_seconds = tree["wall_seconds"]
        best = tree["state"].pop("best")
        return RunState(**tree["state"], best=None if best is None else BestModel(**best))

    def _check_records(self, tree: Mapping[str, Any]) -> None:
        """Refuse the checkpoint of another run: the rounds recorded here are not those that it was written after."""
        length = tree.get("marks", {}).get(_ROUNDS)
        if length is None or tree.get("rounds_digest") != self._rounds_digest(length):
            raise DamagedError(f"{self._path}: is not the checkpoint of this run's {_ROUNDS}, or that was changed")

    def _rounds_digest(self, length: int) -> str:
        """Return the SHA-256 of the rounds recorded up to a mark."""
        with (self._path.parent / _ROUNDS).open("rb") as file:
            return hashlib.sha256(file.read(length)).hexdigest()

    def _restore(self, name: str, part: Resumable, states: Mapping[str, Any]) -> None:
        """Restore a part of the run; what it cannot use is not what it wrote, or another version of it wrote it."""
        try:
            part.restore(states[name])
        except UserError:
            raise
        except Exception as error:
            raise DamagedError(f"{self._path}: {name} cannot be restored: {raised(error)}") from error

    def _tree(self, state: RunState) -> dict[str, Any]:
        marks = self._recorder.mark()
        return {
            "state": vars(state) | {"best": None if state.best is None else vars(state.best)},
            "wall_seconds": self.wall_seconds(),
            "marks": marks,
            "rounds_digest": self._rounds_digest(marks[_ROUNDS]),
            "parts": {name: part.state() for name, part in self._parts.items()},
        }


def resumable_parts(*, strategy: Strategy, **others: object) -> dict[str, Resumable]:
    """Return the parts of a run that a checkpoint holds: the strategy in any case, of the others those that can be."""
    kept = {name: part for name, part in others.items() if isinstance(part, Resumable)}
    return kept | {"strategy": memory_of(strategy)}
