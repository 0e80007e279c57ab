"""A task ready for training: tokens of each split, and which training examples each client has."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedlab.data.cache import publish
from fedlab.data.location import Resolve, fingerprint
from fedlab.data.tokens import TokenSet, read_tokens, tokenizer_digest
from fedlab.experiment import TaskTable

_SPLITS = ("train", "validation", "test")
_LAYOUT = 1  # part of the cache's keys: raise it when the same table is to give another task


@dataclass(frozen=True, eq=False)
class Partitions:
    """Which training examples each client has, cut out of one array when asked for: 100,000 clients open as fast as 1.

    By partition id: sorted int64 indices into the training split.
    """

    indices: np.ndarray  # of all clients, one after the other
    ends: np.ndarray  # where each client's end

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, partition_id: int) -> np.ndarray:
        """Return the examples of a client; raises `IndexError` if there is no such client."""
        if not 0 <= partition_id < len(self):
            raise IndexError(partition_id)
        return self.indices[self.ends[partition_id - 1] if partition_id else 0 : self.ends[partition_id]]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Go through the clients in the order of their partition ids."""
        return (self[partition_id] for partition_id in range(len(self)))


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learnt, as every process of a run sees it."""

    kind: Literal["classification", "tagging"]
    label_names: tuple[str, ...]
    train: TokenSet
    validation: TokenSet
    test: TokenSet
    partitions: Partitions
    digest: str  # SHA-256 of all of it: equal digests mean equal tasks


def load_task(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Load a task: read it, cut it up, tokenise it and split it over the clients; from the cache if it is there.

    The first process to come does the work, the others map its result into memory. A task whose data come from
    a user's function is read anew each time, since nothing tells whether the function would return the same; its
    tokens are cached all the same, by content.

    Raises:
        UserError: the data cannot be read, or do not fit what the table says of them.
    """
    state = fingerprint(table, resolve)
    folder = cache_folder / "tasks" / _key(table, seed, tokenizer, state)
    if state is not None:
        with contextlib.suppress(FileNotFoundError):
            return read_task(folder, cache_folder / "tokens")
    # Imported here as a process that finds the task in the cache does without what reads and splits data: 4 seconds.
    from fedlab.data.build import build_task  # noqa: PLC0415

    task = build_task(table, tokenizer=tokenizer, seed=seed, cache_folder=cache_folder / "tokens", resolve=resolve)
    if state is not None:
        publish(folder, lambda empty: write_task(task, empty))
    return task


def texts_for_vocabulary(table: TaskTable, resolve: Resolve) -> Iterator[str]:
    """Yield the texts of the training split, to train the tokenizer of a randomly initialised encoder on."""
    from fedlab.data.build import training_texts  # noqa: PLC0415 - as in `load_task`

    yield from training_texts(table, resolve)


def join_partitions(parts: Sequence[np.ndarray]) -> Partitions:
    """Return the examples of each client as one array."""
    return Partitions(np.concatenate(parts), np.cumsum([len(indices) for indices in parts]))


def write_task(task: Task, folder: Path) -> None:
    """Write a task into a folder; of its tokens only their digests."""
    description = {
        "kind": task.kind,
        "label_names": task.label_names,
        "tokens": {split: getattr(task, split).digest for split in _SPLITS},
        "digest": task.digest,
    }
    np.save(folder / "indices.npy", task.partitions.indices)
    np.save(folder / "ends.npy", task.partitions.ends)
    (folder / "task.json").write_text(json.dumps(description), encoding="utf-8")


def read_task(folder: Path, token_folder: Path) -> Task:
    """Read a task that `write_task` wrote; raises `FileNotFoundError` if it, or some of its tokens, are not there."""
    description = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    return Task(
        kind=description["kind"],
        label_names=tuple(description["label_names"]),
        partitions=Partitions(np.load(folder / "indices.npy", mmap_mode="r"), np.load(folder / "ends.npy")),
        digest=description["digest"],
        **{split: read_tokens(token_folder, digest) for split, digest in description["tokens"].items()},
    )


def _key(table: TaskTable, seed: int, tokenizer: Any, state: object) -> str:
    parts = [_LAYOUT, table.model_dump(mode="json"), seed, tokenizer_digest(tokenizer), state]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
