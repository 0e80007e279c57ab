"""Frozen states, computed once a text and split point and kept where every process of the machine can read them."""

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from fedlab.common.cache_folder import locked
from fedlab.common.durable import sync_file, sync_folder
from fedlab.common.spans import span
from fedlab.data.task import SampleSet
from fedlab.data.tokens import TokenSet
from fedlab.models.base import TokenIds
from fedlab.models.peft.base import SplitPoint
from fedlab.models.split import Network
from fedlab.models.split_model import SplitModel

# Token ids, images, and arrays in Ray's store are read where they lie, by all processes alike: nothing writes to them.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

_CHUNK_ROWS = 16  # fixed, so that a text's state does not depend on who computes it


# NumPy has no bfloat16: states are stored as the integers that have the same bits.
_BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


@dataclass(frozen=True, kw_only=True)
class ActivationStore:
    """Memory-mapped files of frozen states, one for each split of the data and split point of the model.

    They take at most `budget_bytes` in all. A file takes its full size from the beginning. If the one asked for does
    not fit, files are deleted, first those that were never asked for, then the least recently used; if it would not fit
    alone, or the disk is full, states are computed each time they are asked for. A pass up to adapters computes the
    states at deeper adapters as well: they are stored with it while there is room, so that a deeper configuration finds
    them. Below whole blocks only the states asked for are stored. Where all is trained there is nothing to store.

    A set of rows that is asked for together must always be the same set (a partition, a shard): its states are
    computed in fixed chunks, so every process gets the same bits.
    """

    folder: Path
    budget_bytes: int
    prefix: str = ""  # of its files, where a folder is kept for later processes, and for other data and encoders

    def states(
        self, network: SplitModel, samples: SampleSet, rows: np.ndarray, *, split: str, at: SplitPoint
    ) -> Tensor:
        """Return the frozen states of some texts of a split: [N, H] or [N, T, H], in the encoder's precision.

        Where all is trained they are the inputs: token ids, [N, T], or images, [N, C, H, W].
        """
        table, places = self.table(network, samples, rows, split=split, at=at)
        return table[places]

    def table(
        self,
        network: SplitModel,
        samples: SampleSet,
        rows: np.ndarray,
        *,
        split: str,
        at: SplitPoint,
        grows: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Return a table that holds the frozen states of some texts, and the rows they have in it.

        The table is the stored file itself where there is one, so nothing is copied. Where the trained set never
        `grows`, the states of deeper ones are not stored.
        """
        if at.kind == "inputs":
            return torch.from_numpy(samples.inputs), torch.tensor(rows)
        at, (network, tokens) = at.state, _of_texts(network, samples)
        stored = self._open(network, tokens, split, [at])
        if stored and grows and not stored[at][1][rows].all():  # other files are opened if there is something to write
            stored = self._open(network, tokens, split, [at, *at.passed()])
        if not stored:
            return _compute(network, tokens, rows, [at])[at], torch.arange(len(rows))
        bits = _BITS[network.encoder.dtype]
        missing = [each for each, (_, filled) in stored.items() if not filled[rows].all()]
        if at in missing:
            for each, computed in _compute(network, tokens, rows, missing).items():
                states, filled = stored[each]
                path = self._path(f"{split}-{each}")
                last_asked = path.stat().st_mtime_ns if path.exists() else 0  # another process may have deleted it
                states[rows] = computed.view(bits).numpy()
                if self._lasts:  # or after a power failure zeros would pass as states
                    states.flush()
                filled[rows] = 1
                if each != at:  # writing to a file is not asking for it
                    _set_time(path, last_asked)
        return torch.from_numpy(stored[at][0]).view(network.encoder.dtype), torch.tensor(rows)

    def table_bytes(self, network: SplitModel, samples: SampleSet, at: SplitPoint) -> int:
        """Return what the frozen states of a whole split take; nothing where all is trained."""
        if at.kind == "inputs":
            return 0
        _, tokens = _of_texts(network, samples)
        count, width = tokens.input_ids.shape
        return int(count * math.prod(network.state_shape(at, width)) * network.encoder.dtype.itemsize)

    def _open(
        self, network: Network, tokens: TokenSet, split: str, points: Sequence[SplitPoint]
    ) -> dict[SplitPoint, tuple[np.memmap, np.memmap]]:
        """Map the file of the first split point and those of others that fit; nothing if it does not fit alone."""
        count, width = tokens.input_ids.shape
        item = np.dtype(str(_BITS[network.encoder.dtype]).removeprefix("torch."))
        found: dict[SplitPoint, tuple[np.memmap, np.memmap]] = {}
        with locked(self.folder):
            for each in points:
                shape = (count, *network.state_shape(each, width))
                size = self.table_bytes(network, tokens, each)
                if not self._provide(f"{split}-{each}", size, count, wanted=each == points[0]):
                    break
                path = self._path(f"{split}-{each}")
                states = np.memmap(path, item, "r+", shape=shape)
                found[each] = states, np.memmap(path.with_suffix(".filled"), np.uint8, "r+", shape=(count,))
        return found

    def _provide(self, name: str, size: int, count: int, *, wanted: bool) -> bool:
        """Make a file if there is room for it; room is made only for the one that is wanted."""
        path = self._path(name)
        filled = path.with_suffix(".filled")
        if not (_is_whole(path, size) and _is_whole(filled, count)):
            path.unlink(missing_ok=True)
            if wanted and size <= self.budget_bytes:
                self._make_room(size)
            if self._used_bytes() + size > self.budget_bytes:
                return False
            try:
                _make(filled, count)  # first: a kill in between leaves no states without it
                if self._lasts:
                    sync_file(filled)
                    sync_folder(self.folder)
                _make(path, size)
                if self._lasts:
                    sync_file(path)
                    sync_folder(self.folder)
            except OSError:  # the disk is full, though the room allowed is not
                path.unlink(missing_ok=True)
                return False
            if not wanted:
                _set_time(path, 0)
        if wanted:
            os.utime(path)
        return True

    @property
    def _lasts(self) -> bool:
        """Whether later processes find the files, also those after a power failure."""
        return bool(self.prefix)

    def _make_room(self, size: int) -> None:
        for path in sorted(self.folder.glob("*.states"), key=lambda path: path.stat().st_mtime_ns):
            if self._used_bytes() + size <= self.budget_bytes:
                return
            path.unlink()
            path.with_suffix(".filled").unlink(missing_ok=True)

    def _used_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*.states"))

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.prefix}{name}.states"


def _of_texts(network: SplitModel, samples: SampleSet) -> tuple[Network, TokenSet]:
    """Return a transformer and its texts: of another model, all is trained and nothing is stored."""
    return cast("Network", network), cast("TokenSet", samples)


def _set_time(path: Path, nanoseconds: int) -> None:
    """Set when a file was last asked for; 0: never."""
    with suppress(FileNotFoundError):  # deleted by another process, to make room
        os.utime(path, ns=(nanoseconds, nanoseconds))


def _is_whole(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _make(path: Path, size: int) -> None:
    """Make a file of zeros whose room on the disk is its own: of a mapped one, a full disk would end the process."""
    with path.open("wb") as file:
        if size:
            os.posix_fallocate(file.fileno(), 0, size)


def _compute(
    network: Network, tokens: TokenSet, rows: np.ndarray, at: Sequence[SplitPoint]
) -> dict[SplitPoint, Tensor]:
    with span("cache"):
        return _computed(network, tokens, rows, at)


def _computed(
    network: Network, tokens: TokenSet, rows: np.ndarray, at: Sequence[SplitPoint]
) -> dict[SplitPoint, Tensor]:
    width = tokens.input_ids.shape[1]
    dtype = network.encoder.dtype
    states = {point: torch.zeros(len(rows), *network.state_shape(point, width), dtype=dtype) for point in at}
    # Texts of like length go together, so that little is padded.
    order = np.argsort(tokens.lengths[rows], kind="stable")
    for start in range(0, len(order), _CHUNK_ROWS):
        places = order[start : start + _CHUNK_ROWS]
        lengths = torch.from_numpy(tokens.lengths[rows[places]]).long()
        longest = int(lengths.max())
        ids = torch.from_numpy(tokens.input_ids[rows[places], :longest]).long()
        texts = TokenIds(ids=ids.to(network.device), lengths=lengths.to(network.device))
        found = network.frozen(texts, at)
        for point, computed in found.items():
            target = states[point] if computed.dim() == 2 else states[point][:, :longest]
            target[torch.from_numpy(places)] = computed.to("cpu", dtype)
    return states
