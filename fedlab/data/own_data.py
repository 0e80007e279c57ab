"""A node's own data: a local file or folder, whose whole training split is the node's partition."""

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
    """Partitions of a node with own data: every partition id gives all examples."""

    def __getitem__(self, partition_id: int) -> np.ndarray:
        """Return all examples."""
        return self.indices


def with_own_data(experiment: Experiment, data_path: Path) -> Experiment:
    """Return an experiment that reads a node's own data, in any of the formats of `task.data`.

    Labels and vocabulary must be the same on all nodes, so the experiment has to give both.

    Raises:
        UserError: labels or vocabulary would come from the data, or the file or folder does not exist.
    """
    task, backbone = experiment.task, experiment.backbone.name
    if not task.labels and (not task.is_language or task.scores_labels):
        raise UserError("task.labels is missing: nodes with data of their own cannot know the labels of the others")
    if task.kind == "image" and (task.mean is None or task.image_shape is None):
        raise UserError(
            "task.image_shape, task.mean and task.std are missing: nodes with images of their own must all have them"
        )
    if backbone in RANDOM_BACKBONES:
        raise UserError(
            f"backbone.name = '{backbone}': its vocabulary is made from the texts, so nodes with data of their own"
            " would all have different ones; give a hub id or a folder"
        )
    if not data_path.exists():
        raise UserError(f"node config data-path = '{data_path}': no such file or folder")
    # A node may name its files as it likes; their columns are those of the experiment.
    place = str(data_path.resolve())
    own: dict[str, Any] = {"data": place, "format": "auto", "files": {}, "limit": None, "partition": Partition()}
    return experiment.model_copy(update={"task": task.model_copy(update=own)})


def load_own(table: TaskTable, *, tokenizer: Any, seed: int, cache_folder: Path, resolve: Resolve) -> Task:
    """Load a node's own data as a task; the training split also fills the validation and test splits, which are unused.

    Raises:
        UserError: the data cannot be read, or have a label that the experiment does not list.
    """
    # Imported here as in `fedlab.data.load.load_task`: a node with prepared data saves the seconds.
    from fedlab.data.build import encoder_for  # noqa: PLC0415
    from fedlab.data.examples import read_examples  # noqa: PLC0415
    from fedlab.data.labels import label_set  # noqa: PLC0415
    from fedlab.data.sources.dataset import load_dataset_dict  # noqa: PLC0415

    train = read_examples(load_dataset_dict(table, resolve=resolve)["train"], table, "train")
    names = label_set(train, table)
    encoder = encoder_for(table, names, tokenizer=tokenizer, cache_folder=cache_folder / "tokens")
    encoded = encoder.encoded({"train": train}, [np.arange(len(train))])
    tokens = encoded.tokens["train"]
    return Task(
        kind=table.kind,
        label_names=names,
        train=tokens,
        validation=tokens,
        test=tokens,
        partitions=join_partitions(encoded.parts),
        digest=tokens.digest,
        language=encoded.language,
        images=encoded.images,
    )


def undivided(task: Task) -> Task:
    """Return a task in which every client has all examples."""
    return replace(task, partitions=Undivided(task.partitions.indices, task.partitions.ends))
