"""Build a task from its source: read, limit, hold out splits, encode labels, tokenise, partition over clients."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.common.seeds import generator
from fedlab.config.hub_names import DATASETS
from fedlab.config.schema import TaskTable
from fedlab.data.conversations import whole_text
from fedlab.data.describe import client_labels, duplicates_between, samples_of, split_reports
from fedlab.data.encode import SplitEncoder
from fedlab.data.encode_images import ImageEncoder
from fedlab.data.examples import Examples, declared_labels, read_examples, read_texts
from fedlab.data.labels import label_set
from fedlab.data.location import Resolve, locate
from fedlab.data.partition import skew_labels, split_indices
from fedlab.data.pixel_scaling import ImageTerms
from fedlab.data.report import DataReport, ImageReport
from fedlab.data.sources.dataset import load_dataset_dict
from fedlab.data.task import SPLITS, Partitions, SampleSet, Task, join_partitions
from fedlab.errors import UserError


def build_task(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Build a task from its source; tokens or images are cached in `cache_folder`. Raises `UserError` like `load_task`.

    `tokenizer` is None for images.
    """
    dataset = load_dataset_dict(table, resolve=resolve)
    examples = {split: read_examples(dataset[split], table, split) for split in dataset}
    # Labels come from the whole training split of the source: a rare one may only occur in the held-out part.
    names = label_set(examples["train"], table, declared_labels(dataset["train"], table))
    splits = hold_out({**examples, "train": limited(examples["train"], table.limit, seed)}, table, seed)
    splits["test"] = limited(splits["test"], table.test_limit, seed)
    train = splits["train"]
    parts = split_indices(train.labels, table.partition, seed, client_ids=train.client_ids)
    encoded = encoder_for(table, names, tokenizer=tokenizer, cache_folder=cache_folder).encoded(splits, parts)
    partitions = join_partitions(encoded.parts)
    place = locate(table, resolve)
    report = DataReport(
        data=table.data,
        copy=str(place) if isinstance(place, Path) and table.data in DATASETS else None,
        kind=table.kind,
        max_length=table.max_length,
        splits=split_reports({split: splits[split] for split in SPLITS}, encoded, names),
        left_out={split: asdict(part.left_out) for split, part in examples.items()},
        duplicates=duplicates_between({split: splits[split] for split in SPLITS}),
        clients=client_labels(skew_labels(train.labels), parts),
        blocks=len(encoded.tokens["train"]) if table.kind == "next-token" and table.pack else None,
        samples=samples_of(encoded, tokenizer),
        images=_image_report(encoded.images, encoded.tokens["train"], len(names)),
    )
    digest = _digest(table.kind, names, encoded.tokens, partitions, encoded.images)
    return Task(
        kind=table.kind,
        label_names=names,
        partitions=partitions,
        digest=digest,
        report=report,
        language=encoded.language,
        images=encoded.images,
        **encoded.tokens,
    )


def encoder_for(
    table: TaskTable, names: Sequence[str], *, tokenizer: Any, cache_folder: Path
) -> SplitEncoder | ImageEncoder:
    """Return what encodes the splits of a task, by its kind."""
    if table.kind == "image":
        return ImageEncoder(table=table, names=names, cache_folder=cache_folder)
    return SplitEncoder(table=table, names=names, tokenizer=tokenizer, cache_folder=cache_folder)


def training_texts(table: TaskTable, resolve: Resolve) -> list[str]:
    """Return the texts of the training split as strings. Raises `UserError` like `load_task`."""
    texts: Sequence[Any] = read_texts(load_dataset_dict(table, resolve=resolve)["train"], table, "train")
    if table.kind == "prompt":
        return [whole_text(conversation) for conversation in texts]
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


def _image_report(terms: ImageTerms | None, train: SampleSet, num_labels: int) -> ImageReport | None:
    if terms is None:
        return None
    mean, std = list(terms.scaling.mean), list(terms.scaling.std)
    return ImageReport(shape=list(train.input_shape), num_labels=num_labels, mean=mean, std=std)


def _digest(
    kind: str,
    names: tuple[str, ...],
    tokens: Mapping[str, SampleSet],
    partitions: Partitions,
    images: ImageTerms | None,
) -> str:
    digests = {split: part.digest for split, part in tokens.items()}
    parts = [kind, names, digests, *([] if images is None else [images.plain()])]
    sha = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for indices in partitions:
        sha.update(f"{len(indices)}:".encode() + indices.tobytes())
    return sha.hexdigest()
