"""The place that `task.data` refers to, and a fingerprint of its content; both are cheap, nothing is loaded."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from fedlab.config.hub_names import DATA_VARIABLE, DATASETS, copy_at_hand
from fedlab.config.schema import TaskTable
from fedlab.data.sources.docstrings import installed_versions
from fedlab.errors import UserError

Resolve = Callable[[str], Path]  # resolves a path of the experiment file

BUILT_IN = "docstrings"
FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".annotated": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".txt": "text",
    ".npz": "npz",
}


class Place(Enum):
    """The kinds of data sources that are no file or folder."""

    BUILT_IN = "built in"
    FUNCTION = "function"
    HUB = "hub"


def locate(task: TaskTable, resolve: Resolve) -> Path | Place:
    """Return the file or folder that `task.data` names, or what else it is: with a colon a function, else a hub id.

    A path of the experiment file comes first, then a copy at hand (`fedlab.config.hub_names.copy_at_hand`).

    Raises:
        UserError: `task.data` looks like a path, or `task.format` is a file format, but there is no such file, or the
            folder of copies does not exist.
    """
    if task.data == BUILT_IN:
        return Place.BUILT_IN
    if task.format == "hub":
        return Place.HUB
    path = resolve(task.data)
    if path.exists():
        return path
    if ":" in task.data:
        return Place.FUNCTION
    if (copy := copy_at_hand(task.data, DATA_VARIABLE, resolve("."))) is not None:
        return copy
    if task.data not in DATASETS and (task.format != "auto" or _looks_like_path(task.data)):
        raise UserError(
            f"missing data file: task.data = '{task.data}' ({path} does not exist, and {DATA_VARIABLE} names no folder "
            "with it)"
        )
    return Place.HUB


def fingerprint(task: TaskTable, resolve: Resolve) -> object | None:
    """Return a JSON value that changes when the data change; None if that is unknown without loading them.

    It is the size and modification time of files, the package versions of the built-in data, and nothing but the id of
    a hub data set (give a `revision` in the options to pin it). For a user's function it is unknown.
    """
    match locate(task, resolve):
        case Place.BUILT_IN:
            return installed_versions()
        case Path() as path:
            return [_file_state(file) for file in _files(path, task)]
        case Place.HUB:
            return "hub"
        case Place.FUNCTION:
            return None


def is_saved(path: Path) -> bool:
    """Tell whether a folder was written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def suffix_of(path: Path) -> str:
    """Return the suffix that gives the format, in lower case; a final `.gz` is skipped."""
    return Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()


def _looks_like_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or suffix_of(Path(text)) in FORMAT_OF_SUFFIX or text.count("/") > 1


def _files(path: Path, task: TaskTable) -> list[Path]:
    if path.is_file():
        return [path]
    if task.files:
        return sorted(path / name for name in task.files.values())
    below = is_saved(path) or task.kind == "image"  # images may lie in folders that are named for labels
    return sorted(entry for entry in (path.rglob("*") if below else path.iterdir()) if entry.is_file())


def _file_state(path: Path) -> list[object]:
    if not path.is_file():
        return [str(path), "missing"]
    return [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
