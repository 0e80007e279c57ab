"""How many examples each client of an experiment has, without tokenising any."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fedlab.config.hub_names import DATA_VARIABLE
from fedlab.config.schema import Experiment
from fedlab.data.location import Place, locate
from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """The number of examples of each client, by partition id, of labels of a head, and of examples in each split.

    `image_shape` is that of images, which is known where these are read or the experiment gives it.
    """

    num_examples: tuple[int, ...]
    labels: int
    splits: dict[str, int]
    image_shape: tuple[int, int, int] | None = None


def count_examples(experiment: Experiment) -> Holdings:
    """Read an experiment's data and split them over its clients, as a run would.

    Raises:
        UserError: the data are on a hub, or cannot be read, or do not fit what the experiment says of them.
    """
    table = experiment.task
    if locate(table, experiment.path) is Place.HUB:
        raise UserError(
            f"task.data = '{table.data}' is a data set of the hub, which is not fetched to count examples: put a copy "
            f"below ${DATA_VARIABLE}, or say how much a client trains on in a round with fedlab estimate --batches N"
        )
    # Imported here: what reads and splits data takes seconds to import.
    from fedlab.data.build import hold_out, limited  # noqa: PLC0415
    from fedlab.data.examples import declared_labels, read_examples  # noqa: PLC0415
    from fedlab.data.labels import label_set  # noqa: PLC0415
    from fedlab.data.partition import split_indices  # noqa: PLC0415
    from fedlab.data.sources.dataset import load_dataset_dict  # noqa: PLC0415

    dataset = load_dataset_dict(table, resolve=experiment.path)
    examples = {split: read_examples(dataset[split], table, split) for split in dataset}
    names = label_set(examples["train"], table, declared_labels(dataset["train"], table))
    limit = limited(examples["train"], table.limit, experiment.seed)
    train = hold_out({**examples, "train": limit}, table, experiment.seed)["train"]
    parts = split_indices(train.labels, table.partition, experiment.seed, client_ids=train.client_ids)
    splits = {split: len(part) for split, part in examples.items()}
    trained = 0 if table.is_language else len(names)
    shape = np.shape(train.texts[0]) if table.kind == "image" else None
    return Holdings(num_examples=tuple(map(len, parts)), labels=trained, splits=splits, image_shape=shape)


def assume_batches(experiment: Experiment, batches: int, batch_size: int, labels: int) -> Holdings:
    """Return what clients have if each trains on a given number of full batches in an epoch."""
    num_examples = (batches * batch_size,) * experiment.task.partition.clients
    known = len(experiment.task.labels) if experiment.task.labels else labels
    shape = None if experiment.task.image_shape is None else tuple(experiment.task.image_shape)
    trained = 0 if experiment.task.is_language else known
    return Holdings(num_examples=num_examples, labels=trained, splits={}, image_shape=cast("Any", shape))
