"""Where a task's data come from: built in, a file or folder, the Hugging Face hub, or a user's own function."""

from collections.abc import Mapping
from typing import Any

import datasets
from huggingface_hub import constants, get_session

from fedlab.config.plugins import call_with_options, load_object
from fedlab.config.schema import TaskTable
from fedlab.data.location import BUILT_IN, Place, Resolve, locate
from fedlab.data.sources.docstrings import read_docstrings
from fedlab.data.sources.files import load_local, split_name, to_dataset
from fedlab.errors import UserError

_HUB_TIMEOUT_SECONDS = 5.0


def load_dataset_dict(task: TaskTable, *, resolve: Resolve) -> datasets.DatasetDict:
    """Load the splits `train` (always), `validation` and `test` (if the source has them).

    `resolve` turns a path of the experiment file into one that can be opened. Splits of other names are left out.

    Raises:
        UserError: the source is missing, cannot be reached or cannot be parsed, or has no training split.
    """
    match locate(task, resolve):
        case Place.BUILT_IN:
            return datasets.DatasetDict(train=to_dataset(read_docstrings(), BUILT_IN))
        case Place.LOCAL:
            return _named_splits(load_local(resolve(task.data), task), task)
        case Place.FUNCTION:
            return _named_splits(_call_function(task, resolve), task)
        case Place.HUB:
            return _named_splits(_load_hub(task), task)


def _call_function(task: TaskTable, resolve: Resolve) -> Mapping[str, Any]:
    function = load_object(task.data, resolve("."))
    return _as_mapping(call_with_options(function, task.options, "task.options"), task.data)


def _load_hub(task: TaskTable) -> Mapping[str, Any]:
    _check_hub_answers(task.data)
    try:
        loaded = datasets.load_dataset(task.data, **task.options)
    except Exception as error:  # hub, network, parser and options each have exceptions of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"hub data set '{task.data}': {reason}") from error
    return _as_mapping(loaded, task.data)


def _check_hub_answers(name: str) -> None:
    """Raise a UserError if the hub is out of reach: asked first, as `load_dataset` retries for most of a minute."""
    if constants.HF_HUB_OFFLINE:  # `load_dataset` uses what was downloaded earlier, or says at once that it cannot
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_SECONDS)
    except Exception as error:
        raise UserError(
            f"hub data set '{name}': no file of that name here, and {constants.ENDPOINT} cannot be reached"
            f" ({type(error).__name__}); HF_HUB_OFFLINE=1 uses a copy downloaded earlier"
        ) from error


def _as_mapping(loaded: object, place: str) -> Mapping[str, Any]:
    if isinstance(loaded, datasets.DatasetDict):
        return dict(loaded)
    if isinstance(loaded, datasets.Dataset):
        return {"train": loaded}
    raise UserError(f"'{place}': expected a datasets.Dataset or DatasetDict, got {type(loaded).__name__}")


def _named_splits(splits: Mapping[str, Any], task: TaskTable) -> datasets.DatasetDict:
    """Return the splits under their names here; the first split named for one (dev, say) is it."""
    named: dict[str, Any] = {}
    for name in sorted(splits, key=lambda name: name not in ("train", "validation", "test")):
        if split := split_name(name):
            named.setdefault(split, splits[name])
    if "train" not in named:
        raise UserError(f"task.data = '{task.data}': no split 'train' among {', '.join(splits) or 'none'}")
    return datasets.DatasetDict(named)
