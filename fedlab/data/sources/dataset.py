"""Load a task's data: built in, from a file or folder, from the Hugging Face hub, or by a user's function."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import constants

from fedlab.config.hub_names import DATASETS, hub_failure
from fedlab.config.plugins import call_with_options, load_object
from fedlab.config.schema import TaskTable
from fedlab.data.location import BUILT_IN, Place, Resolve, locate
from fedlab.data.sources.base import split_name
from fedlab.data.sources.docstrings import read_docstrings
from fedlab.data.sources.files import load_local, to_dataset
from fedlab.errors import UserError


def load_dataset_dict(task: TaskTable, *, resolve: Resolve) -> datasets.DatasetDict:
    """Load the splits `train` (required), `validation` and `test` (if the source has them).

    `resolve` resolves a path of the experiment file. Splits with other names are ignored.

    Raises:
        UserError: the source is missing, cannot be reached or cannot be parsed, or has no training split.
    """
    match locate(task, resolve):
        case Place.BUILT_IN:
            return datasets.DatasetDict(train=to_dataset(read_docstrings(), BUILT_IN))
        case Path() as path:
            return _with_columns(_named_splits(load_local(path, _as_copied(task)), task), task)
        case Place.FUNCTION:
            return _named_splits(_call_function(task, resolve), task)
        case Place.HUB:
            return _with_columns(_named_splits(_load_hub(task), task), task)


def _call_function(task: TaskTable, resolve: Resolve) -> Mapping[str, Any]:
    function = load_object(task.data, resolve("."))
    return _as_mapping(call_with_options(function, task.options, "task.options"), task.data)


def _load_hub(task: TaskTable) -> Mapping[str, Any]:
    # Offline, `load_dataset` uses an earlier download, or fails at once.
    if not constants.HF_HUB_OFFLINE and (failure := hub_failure()) is not None:
        raise UserError(
            f"hub data set '{task.data}': there is no file of that name, and {constants.ENDPOINT} cannot be reached"
            f" ({type(failure).__name__}); HF_HUB_OFFLINE=1 uses a copy downloaded earlier"
        ) from failure
    try:
        loaded = datasets.load_dataset(task.data, **{**_known_options(task), **task.options})
    except Exception as error:  # hub, network, parser and options raise different exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"hub data set '{task.data}': {reason}") from error
    return _as_mapping(loaded, task.data)


def _as_mapping(loaded: object, place: str) -> Mapping[str, Any]:
    if isinstance(loaded, datasets.DatasetDict):
        return dict(loaded)
    if isinstance(loaded, datasets.Dataset):
        return {"train": loaded}
    raise UserError(f"'{place}': expected a datasets.Dataset or DatasetDict, got {type(loaded).__name__}")


def _named_splits(splits: Mapping[str, Any], task: TaskTable) -> datasets.DatasetDict:
    """Return the splits under fedlab's names; the first split with a matching name, such as dev, is taken."""
    named: dict[str, Any] = {}
    for name in sorted(splits, key=lambda name: name not in ("train", "validation", "test")):
        if split := split_name(name):
            named.setdefault(split, splits[name])
    if "train" not in named:
        raise UserError(f"task.data = '{task.data}': no split 'train' among {', '.join(splits) or 'none'}")
    return datasets.DatasetDict(named)


def _as_copied(task: TaskTable) -> TaskTable:
    if task.format != "auto" or task.data not in DATASETS:
        return task
    return task.model_copy(update={"format": DATASETS[task.data].format})


def _known_options(task: TaskTable) -> Mapping[str, Any]:
    return DATASETS[task.data].options if task.data in DATASETS else {}


def _with_columns(splits: datasets.DatasetDict, task: TaskTable) -> datasets.DatasetDict:
    """Name the columns of a known data set as the task does: the hub's files and copies name them differently."""
    if task.data not in DATASETS:
        return splits
    asked = {*task.text, task.label, task.image, task.response}
    for name, of_hub in DATASETS[task.data].columns.items():
        for wanted, other in ((name, of_hub), (of_hub, name)):
            if wanted in asked:
                splits = datasets.DatasetDict({split: _named(each, wanted, other) for split, each in splits.items()})
    return splits


def _named(dataset: datasets.Dataset, wanted: str, other: str) -> datasets.Dataset:
    """Return a data set in which a column has the wanted name; `answers.text` is the first of a list."""
    column, _, field = other.partition(".")
    if wanted in dataset.column_names or column not in dataset.column_names:
        return dataset
    if not field:
        return dataset.rename_column(column, wanted)
    return dataset.add_column(wanted, [(value[field] or [None])[0] for value in dataset[column]])
