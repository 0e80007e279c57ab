"""A task ready for training: the tokens or images of each split, the partitions of the clients; and its files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlab.config.task_table import TaskKind
from fedlab.data.images import ImageSet, holds_images, read_images
from fedlab.data.language import Language, language_from
from fedlab.data.pixel_scaling import ImageTerms, image_terms_from
from fedlab.data.report import DataReport, report_from
from fedlab.data.tokens import TokenSet, read_tokens

SPLITS = ("train", "validation", "test")
_REPORT = "report.json"
SampleSet = TokenSet | ImageSet  # the examples of a split as a model reads them


@dataclass(frozen=True, eq=False)
class Partitions:
    """The training examples of each client, by partition id: sorted int64 indices into the training split.

    All are slices of one array, so that 100,000 partitions open as fast as one.
    """

    indices: np.ndarray  # of all clients, concatenated
    ends: np.ndarray  # the end of each client's slice

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, partition_id: int) -> np.ndarray:
        """Return the examples of a client; raises `IndexError` if the client does not exist."""
        if not 0 <= partition_id < len(self):
            raise IndexError(partition_id)
        return self.indices[self.ends[partition_id - 1] if partition_id else 0 : self.ends[partition_id]]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over the clients in the order of their partition ids."""
        return (self[partition_id] for partition_id in range(len(self)))


@dataclass(frozen=True, kw_only=True)
class Task:
    """The learning task, the same in every process of a run."""

    kind: TaskKind
    label_names: tuple[str, ...]
    train: SampleSet
    validation: SampleSet
    test: SampleSet
    partitions: Partitions
    digest: str  # SHA-256 of everything above: equal digests mean equal tasks
    report: DataReport | None = None  # what was read; None for a node's own data
    language: Language | None = None  # how a language model is scored; None for other kinds
    images: ImageTerms | None = None  # how images are normalised and varied; None for other kinds


def join_partitions(parts: Sequence[np.ndarray]) -> Partitions:
    """Concatenate the examples of the clients into one array."""
    return Partitions(np.concatenate(parts), np.cumsum([len(indices) for indices in parts]))


TASK_FILES = ("indices.npy", "ends.npy", "task.json")


def write_task(task: Task, folder: Path) -> None:
    """Write a task into a folder; its tokens or images are referred to by their digests."""
    description = {
        "kind": task.kind,
        "label_names": task.label_names,
        "tokens": {split: getattr(task, split).digest for split in SPLITS},
        "digest": task.digest,
        "language": None if task.language is None else task.language.plain(),
        "images": None if task.images is None else task.images.plain(),
    }
    if task.report is not None:
        (folder / _REPORT).write_text(json.dumps(task.report.plain()), encoding="utf-8")
    np.save(folder / "indices.npy", task.partitions.indices)
    np.save(folder / "ends.npy", task.partitions.ends)
    (folder / "task.json").write_text(json.dumps(description), encoding="utf-8")


def read_task(folder: Path, token_folder: Path) -> Task:
    """Read a task that `write_task` wrote; raises `FileNotFoundError` if it or some of its tokens are missing."""
    description = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    report = folder / _REPORT
    return Task(
        report=report_from(json.loads(report.read_text(encoding="utf-8"))) if report.exists() else None,
        kind=description["kind"],
        label_names=tuple(description["label_names"]),
        partitions=Partitions(np.load(folder / "indices.npy", mmap_mode="r"), np.load(folder / "ends.npy")),
        digest=description["digest"],
        language=None if description["language"] is None else language_from(description["language"]),
        images=None if description.get("images") is None else image_terms_from(description["images"]),
        **{split: _read_samples(token_folder, digest) for split, digest in description["tokens"].items()},
    )


def _read_samples(cache_folder: Path, digest: str) -> SampleSet:
    """Map the set of this digest into memory; raises `FileNotFoundError` if it is not in the cache."""
    read = read_images if holds_images(cache_folder / digest) else read_tokens
    found: SampleSet = read(cache_folder, digest)
    return found
