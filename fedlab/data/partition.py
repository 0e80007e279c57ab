"""Partition training examples over clients, by the partitioners of flwr-datasets."""

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import datasets
import numpy as np
from flwr_datasets.partitioner import (
    DirichletPartitioner,
    ExponentialPartitioner,
    IidPartitioner,
    LinearPartitioner,
    NaturalIdPartitioner,
    Partitioner,
    PathologicalPartitioner,
    SquarePartitioner,
)

from fedlab.common.seeds import generator, seed_for
from fedlab.config.schema import Partition
from fedlab.data.examples import is_missing
from fedlab.errors import UserError

_GROWTHS = {"linear": LinearPartitioner, "square": SquarePartitioner, "exponential": ExponentialPartitioner}
_KEY = "key"
_DRAWS = 10  # of a split in which a client has too few examples


class _RowNumbers(datasets.Dataset):  # type: ignore[misc]  # `datasets` is not typed
    """A data set whose `select` returns row numbers, so that a partitioner does not build tables."""

    def select(self, indices: Iterable[int], *_: Any, **__: Any) -> np.ndarray:
        return np.array(list(indices), np.int64)


def split_indices(
    labels: Sequence[str] | Sequence[Sequence[str]],
    partition: Partition,
    seed: int,
    *,
    client_ids: Sequence[object] | None = None,
) -> list[np.ndarray]:
    """Return the training examples of each client: sorted int64 indices, disjoint, never fewer than the minimum.

    They cover all examples, except with `partition.below_min = "drop"`: then clients with fewer are left out.

    `labels` has one label for each example, or its BIO tags; then the most common entity type is the label.
    `client_ids` has the value of `partition.column` for each example: in scheme `natural` the clients are its sorted
    distinct values, and `partition.clients` is ignored.

    Raises:
        UserError: a client would have too few examples, or examples would have no client.
    """
    keys = client_ids if partition.scheme == "natural" else skew_labels(labels)
    codes = _codes(keys, partition)
    _check(partition, codes)
    order = generator(seed, "partition order").permutation(len(codes))
    # Labels get random numbers, because some partitioners give the first labels to the first clients.
    renumbered = generator(seed, "partition labels").permutation(codes.max() + 1)[codes]
    shuffled = (codes if partition.scheme == "natural" else renumbered)[order]
    return [np.sort(order[rows]) for rows in _rows_of_clients(partition, shuffled, seed)]


def skew_labels(labels: Sequence[str] | Sequence[Sequence[str]]) -> list[str]:
    """Return one label for each example: its label, or the most common entity type of its tags (O without any)."""
    return [label if isinstance(label, str) else _commonest_entity(label) for label in labels]


def _commonest_entity(tags: Sequence[str]) -> str:
    counts = Counter(tag.split("-", 1)[-1] for tag in tags if tag != "O")
    return min(counts, key=lambda entity: (-counts[entity], entity), default="O")


def _codes(keys: Sequence[object] | None, partition: Partition) -> np.ndarray:
    if keys is None:
        raise UserError("task.partition.column is missing: scheme 'natural' needs the column that names the client")
    if partition.scheme == "natural" and any(is_missing(key) or not str(key).strip() for key in keys):
        raise UserError(f"task.partition.column = '{partition.column}': an example has no value in it")
    codes: np.ndarray = np.unique(np.array(keys), return_inverse=True)[1]
    return codes


def _check(partition: Partition, codes: np.ndarray) -> None:
    clients, examples, labels = partition.clients, len(codes), int(codes.max()) + 1
    if partition.scheme != "natural" and clients > examples:
        raise UserError(f"task.partition.clients = {clients}: there are only {examples} training examples")
    if partition.scheme != "pathological":
        return
    each = partition.classes_per_client
    if each > labels:
        raise UserError(f"task.partition.classes_per_client = {each}: there are only {labels} labels")
    if clients + each <= labels:
        raise UserError(
            f"task.partition: {clients} clients of {each} labels do not cover all {labels} labels:"
            f" raise clients to {labels - each + 1} or more, or classes_per_client"
        )


def _rows_of_clients(partition: Partition, keys: np.ndarray, seed: int) -> list[np.ndarray]:
    least = partition.min_examples or 1
    if partition.below_min == "drop":
        kept = [rows for rows in _draw(partition, keys, seed, least=0) or [] if len(rows) >= least]
        if not kept:
            raise UserError(_failure(partition, keys, seed))
        return kept
    asked = partition.below_min == "redraw" or partition.min_examples is not None
    for attempt in range(_DRAWS if asked and partition.scheme in ("dirichlet", "pathological") else 1):
        drawn = _draw(partition, keys, seed, least=least, attempt=attempt)
        if drawn is not None and all(len(rows) >= least for rows in drawn):
            return drawn
    raise UserError(_failure(partition, keys, seed))


def _draw(
    partition: Partition, keys: np.ndarray, seed: int, *, least: int, attempt: int = 0
) -> list[np.ndarray] | None:
    """Return the rows of each client, None if the partitioner finds no split in which each has the least number.

    Dirichlet's partitioner draws ten more times by itself before it gives up.
    """
    draw = seed_for(seed, "partition", attempt) if attempt else seed_for(seed, "partition")
    try:
        return _partition(_partitioner(partition, keys, draw, min_partition_size=least), keys)
    except ValueError:
        return None


def _partition(partitioner: Partitioner, keys: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each partition; warnings and progress bars of the partitioners are suppressed."""
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stderr(io.StringIO()), np.errstate(all="ignore"):
        partitioner.dataset = _RowNumbers(datasets.Dataset.from_dict({_KEY: keys}).data)
        return [partitioner.load_partition(i) for i in range(partitioner.num_partitions)]


def _partitioner(partition: Partition, keys: np.ndarray, draw: int, *, min_partition_size: int) -> Partitioner:
    clients = partition.clients
    match partition.scheme:
        case "iid":
            return IidPartitioner(clients)
        case "dirichlet":
            size = min_partition_size
            return DirichletPartitioner(clients, _KEY, partition.alpha, min_partition_size=size, seed=draw)
        case "quantity":
            return _GROWTHS[partition.growth](clients)
        case "pathological":
            # With fewer clients than labels, only neighbouring labels for neighbouring clients cover all labels.
            mode = "first-deterministic" if clients > keys.max() else "deterministic"
            return PathologicalPartitioner(clients, _KEY, partition.classes_per_client, mode, seed=draw)
        case "natural":
            return NaturalIdPartitioner(_KEY)


def _failure(partition: Partition, keys: np.ndarray, seed: int) -> str:
    """Return which partition would have too few examples and what to change, after a partitioner failed."""
    clients, examples, least = partition.clients, len(keys), partition.min_examples or 1
    would = "be empty" if least == 1 else f"have fewer than {least} examples"
    if partition.below_min == "drop":
        return f"task.partition: every client would {would}: use fewer clients, or a smaller min_examples"
    if partition.scheme == "pathological" and least == 1:
        return (
            f"task.partition: {clients} clients with {partition.classes_per_client} labels each need a label in more"
            f" places than it has examples: use fewer clients, or fewer classes_per_client"
        )
    if partition.scheme == "quantity" and least == 1:  # sizes grow with the partition id: the first is the smallest
        return (
            f"task.partition: partition 0 would be empty: {examples} examples are too few for {clients} clients with"
            f" {partition.growth} growth: use fewer clients or a slower growth"
        )
    sizes = [len(rows) for rows in _draw(partition, keys, seed, least=0) or []]
    small = sum(size < least for size in sizes)
    which = f"partition {int(np.argmin(sizes))} would {would} ({small} of {len(sizes)} would" if sizes else f"({would}"
    again = ", and in more draws" if partition.scheme == "dirichlet" else ""
    larger = f", a larger alpha than {partition.alpha:g}" if partition.scheme == "dirichlet" else ""
    return f"task.partition: {which}{again}): use fewer clients{larger}, or below_min = 'drop' to leave them out"
