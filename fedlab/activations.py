"""Frozen states, computed once a text and depth and kept where every process of the machine can read them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedlab.data.tokens import TokenSet
from fedlab.models.network import Network

_CHUNK_ROWS = 32  # fixed, so that a text's state does not depend on who computes it


@dataclass(frozen=True, kw_only=True)
class ActivationStore:
    """Memory-mapped files of frozen states, one for each split and depth, of at most `budget_bytes` in all.

    A file is made in full size but takes room only for the rows that were written. When a new one does not fit, the
    one used longest ago goes; when it would not fit alone, states are computed each time they are asked for.
    A set of rows that is asked for together must always be the same set (a partition, a shard): its states are
    computed in fixed chunks, so every process gets the same bits.
    """

    folder: Path
    budget_bytes: int

    def states(self, network: Network, tokens: TokenSet, rows: np.ndarray, *, split: str, depth: int) -> Tensor:
        """Return the frozen states of some texts of a split: float32 [N, H] or [N, T, H]."""
        shape = (len(tokens.lengths), *network.state_shape(depth, tokens.input_ids.shape[1]))
        stored = self._open(f"{split}-{depth}", shape)
        if stored is None:
            return _compute(network, tokens, rows, depth)
        states, filled = stored
        if not filled[rows].all():
            states[rows] = _compute(network, tokens, rows, depth).numpy()
            filled[rows] = 1
        return torch.from_numpy(states[rows])

    def _open(self, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        size = 4 * int(np.prod(shape))
        if size > self.budget_bytes:
            return None
        with self._locked():
            path = self.folder / f"{name}.states"
            if not path.exists():
                self._make_room(size)
                _make(path, size)
                _make(path.with_suffix(".filled"), shape[0])
            os.utime(path)
            states = np.memmap(path, np.float32, "r+", shape=shape)
            filled = np.memmap(path.with_suffix(".filled"), np.uint8, "r+", shape=(shape[0],))
        return states, filled

    def _make_room(self, size: int) -> None:
        files = sorted(self.folder.glob("*.states"), key=lambda path: path.stat().st_mtime_ns)
        used = sum(path.stat().st_size for path in files)
        for path in files:
            if used + size <= self.budget_bytes:
                return
            used -= path.stat().st_size
            path.unlink()
            path.with_suffix(".filled").unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _compute(network: Network, tokens: TokenSet, rows: np.ndarray, depth: int) -> Tensor:
    width = tokens.input_ids.shape[1]
    states = torch.zeros(len(rows), *network.state_shape(depth, width))
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        lengths = torch.from_numpy(tokens.lengths[chunk]).long()
        longest = int(lengths.max())
        ids = torch.from_numpy(tokens.input_ids[chunk, :longest]).long()
        computed = network.frozen(ids, lengths, depth)
        target = states[start : start + len(chunk)]
        (target[:, :longest] if computed.dim() == 3 else target).copy_(computed)
    return states
