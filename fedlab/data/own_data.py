"""A node's own data: a local file or folder, of which all that is for training is trained on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.schema import Experiment, Partition, TaskTable
from fedlab.data.location import Resolve
from fedlab.data.task import Partitions, Task, join_partitions
from fedlab.errors import UserError


@dataclass(frozen=True, eq=False)
class Undivided(Partitions):
    """All examples, whatever partition is asked for: the node has no others."""

    def __getitem__(self, partition_id: int) -> np.ndarray:
        """Return all examples."""
        return self.indices


def with_own_data(experiment: Experiment, data_path: Path) -> Experiment:
    """Return an experiment whose data are a node's own, in any of the formats of `task.data`.

    Labels and vocabulary must be the same on all nodes, so neither can be taken from the data.

    Raises:
        UserError: the experiment leaves one of the two to the data, or there is no such file or folder.
    """
    task, backbone = experiment.task, experiment.backbone.name
    if not task.labels:
        raise UserError("task.labels is missing: nodes with data of their own cannot know the labels of the others")
    if backbone in RANDOM_BACKBONES:
        raise UserError(
            f"backbone.name = '{backbone}': its vocabulary is made from the texts, and nodes with data of their own"
            " would have another each; name a hub id or a folder"
        )
    if not data_path.exists():
        raise UserError(f"node config data-path = '{data_path}': no such file or folder")
    # How a node's files are called is its own affair; what is in them is as the experiment says.
    place = str(data_path.resolve())
    own: dict[str, Any] = {"data": place, "format": "auto", "files": {}, "limit": None, "partition": Partition()}
    return experiment.model_copy(update={"task": task.model_copy(update=own)})


def load_own(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Load a node's own data as a task: its training split, which stands in for the splits it does not measure on.

    Raises:
        UserError: the data cannot be read, or have a label the experiment does not list.
    """
    # Imported here as in `fedlab.data.load.load_task`: a node that has prepared its data does without.
    from fedlab.data.examples import read_examples  # noqa: PLC0415
    from fedlab.data.labels import label_ids, label_set  # noqa: PLC0415
    from fedlab.data.sources.dataset import load_dataset_dict  # noqa: PLC0415
    from fedlab.data.tokens import tokenize  # noqa: PLC0415

    train = read_examples(load_dataset_dict(table, resolve=resolve)["train"], table, "train")
    names = label_set(train, table)
    tokens = tokenize(
        train.texts,
        label_ids(train, names, "train"),
        tokenizer=tokenizer,
        max_length=table.max_length,
        kind=table.kind,
        cache_folder=cache_folder / "tokens",
    )
    everything = join_partitions([np.arange(len(tokens))])
    splits = dict.fromkeys(("train", "validation", "test"), tokens)
    return Task(kind=table.kind, label_names=names, partitions=everything, digest=tokens.digest, **splits)


def undivided(task: Task) -> Task:
    """Return a task of which every client has everything."""
    return replace(task, partitions=Undivided(task.partitions.indices, task.partitions.ends))
