"""What `task.data` refers to, and whether it has changed; light enough to ask before anything is loaded."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from fedlab.config.schema import TaskTable
from fedlab.data.sources.docstrings import installed_versions
from fedlab.errors import UserError

Resolve = Callable[[str], Path]  # turns a path of the experiment file into one that can be opened

BUILT_IN = "docstrings"
FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".annotated": "conll",
    ".bio": "conll",
    ".iob": "conll",
}


class Place(Enum):
    """The kinds of places that data come from."""

    BUILT_IN = "built in"
    LOCAL = "file or folder"
    FUNCTION = "function"
    HUB = "hub"


def locate(task: TaskTable, resolve: Resolve) -> Place:
    """Tell where `task.data` is: an existing path is local, a reference with a colon a function, else a hub id.

    Raises:
        UserError: it looks like a path, or `task.format` is one of files, and there is nothing there.
    """
    if task.data == BUILT_IN:
        return Place.BUILT_IN
    if task.format == "hub":
        return Place.HUB
    if resolve(task.data).exists():
        return Place.LOCAL
    if ":" in task.data:
        return Place.FUNCTION
    if task.format != "auto" or _looks_like_path(task.data):
        raise UserError(f"missing data file: task.data = '{task.data}' ({resolve(task.data)} does not exist)")
    return Place.HUB


def fingerprint(task: TaskTable, resolve: Resolve) -> object | None:
    """Return a JSON value that changes when the data do; None if that cannot be told without loading them.

    Files are known by size and time of change, the built-in data by the versions of its packages, a hub data set by
    its id alone (name a `revision` in the options to pin it), and of a user's function nothing is known.
    """
    match locate(task, resolve):
        case Place.BUILT_IN:
            return installed_versions()
        case Place.LOCAL:
            return [_file_state(path) for path in _files(resolve(task.data), task)]
        case Place.HUB:
            return "hub"
        case Place.FUNCTION:
            return None


def is_saved(path: Path) -> bool:
    """Tell whether a folder was written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def suffix_of(path: Path) -> str:
    """Return the suffix that tells the format, in lower case: that before a final `.gz`."""
    return Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()


def _looks_like_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or suffix_of(Path(text)) in FORMAT_OF_SUFFIX or text.count("/") > 1


def _files(path: Path, task: TaskTable) -> list[Path]:
    if path.is_file():
        return [path]
    if task.files:
        return sorted(path / name for name in task.files.values())
    return sorted(entry for entry in (path.rglob("*") if is_saved(path) else path.iterdir()) if entry.is_file())


def _file_state(path: Path) -> list[object]:
    if not path.is_file():
        return [str(path), "missing"]
    return [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
