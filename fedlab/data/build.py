"""Build a task from its source: read, limit, hold out splits, encode labels, tokenise, partition over clients."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.common.seeds import generator
from fedlab.config.schema import TaskTable
from fedlab.data.describe import client_labels, duplicates_between, split_report
from fedlab.data.examples import Examples, declared_labels, read_examples, read_texts
from fedlab.data.labels import label_ids, label_set
from fedlab.data.location import Resolve
from fedlab.data.partition import skew_labels, split_indices
from fedlab.data.report import DataReport
from fedlab.data.sources.dataset import load_dataset_dict
from fedlab.data.task import Partitions, Task, join_partitions
from fedlab.data.tokens import TokenSet, tokenize
from fedlab.errors import UserError


def build_task(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Build a task from its source; the tokens are cached in `cache_folder`. Raises `UserError` like `load_task`."""
    dataset = load_dataset_dict(table, resolve=resolve)
    examples = {split: read_examples(dataset[split], table, split) for split in dataset}
    # Labels come from the whole training split of the source: a rare one may only occur in the held-out part.
    names = label_set(examples["train"], table, declared_labels(dataset["train"], table))
    splits = hold_out({**examples, "train": limited(examples["train"], table.limit, seed)}, table, seed)
    splits["test"] = limited(splits["test"], table.test_limit, seed)
    tokens = {
        split: tokenize(
            part.texts,
            label_ids(part, names, split),
            tokenizer=tokenizer,
            max_length=table.max_length,
            kind=table.kind,
            cache_folder=cache_folder,
        )
        for split, part in splits.items()
    }
    train = splits["train"]
    parts = split_indices(train.labels, table.partition, seed, client_ids=train.client_ids)
    partitions = join_partitions(parts)
    report = DataReport(
        data=table.data,
        kind=table.kind,
        max_length=table.max_length,
        splits={split: split_report(splits[split], tokens[split], names) for split in ("train", "validation", "test")},
        left_out={split: asdict(part.left_out) for split, part in examples.items()},
        duplicates=duplicates_between({split: splits[split] for split in ("train", "validation", "test")}),
        clients=client_labels(skew_labels(train.labels), parts),
    )
    digest = _digest(table.kind, names, tokens, partitions)
    return Task(kind=table.kind, label_names=names, partitions=partitions, digest=digest, report=report, **tokens)


def training_texts(table: TaskTable, resolve: Resolve) -> list[str]:
    """Return the texts of the training split as strings. Raises `UserError` like `load_task`."""
    texts = read_texts(load_dataset_dict(table, resolve=resolve)["train"], table, "train")
    return [text if isinstance(text, str) else " ".join(text) for text in texts]


def limited(examples: Examples, limit: int | None, seed: int) -> Examples:
    """Return at most `limit` random examples, in the order of the source."""
    if limit is None or limit >= len(examples):
        return examples
    return examples.take(np.sort(generator(seed, "task limit").choice(len(examples), limit, replace=False)))


def hold_out(examples: Mapping[str, Examples], table: TaskTable, seed: int) -> dict[str, Examples]:
    """Return train, validation and test; a missing split is held out from train, with the share that the table gives.

    Raises:
        UserError: no training examples would be left.
    """
    train = examples["train"]
    order = generator(seed, "task hold out").permutation(len(train))
    splits = dict(examples)
    start = 0
    for split, share in (("validation", table.validation), ("test", table.test)):
        if split not in examples:
            end = start + max(1, round(share * len(train)))
            splits[split] = train.take(np.sort(order[start:end]))
            start = end
    if start >= len(train):
        raise UserError(
            f"task: none of {len(train)} training examples is left after holding out validation ="
            f" {table.validation:g} and test = {table.test:g}: lower these shares"
        )
    splits["train"] = train.take(np.sort(order[start:]))
    return splits


def _digest(kind: str, names: tuple[str, ...], tokens: Mapping[str, TokenSet], partitions: Partitions) -> str:
    digests = {split: part.digest for split, part in tokens.items()}
    sha = hashlib.sha256(json.dumps([kind, names, digests], sort_keys=True).encode())
    for indices in partitions:
        sha.update(f"{len(indices)}:".encode() + indices.tobytes())
    return sha.hexdigest()
