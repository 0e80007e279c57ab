"""Data in a local file or folder: the files of each split and their readers."""

from collections.abc import Iterable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from fedlab.common.files import check_regular
from fedlab.config.schema import TaskTable
from fedlab.data.location import FORMAT_OF_SUFFIX, is_saved, suffix_of
from fedlab.data.sources.base import SPLIT_NAMES, Columns, refuse_repeated, split_name
from fedlab.data.sources.conll import read_conll
from fedlab.data.sources.csv_json import read_csv, read_json
from fedlab.data.sources.image_files import holds_label_folders, read_image_folders, read_npz
from fedlab.data.sources.plain_text import read_plain_text
from fedlab.data.sources.semeval2010 import read_semeval2010
from fedlab.errors import UserError


def load_local(path: Path, task: TaskTable) -> dict[str, datasets.Dataset]:
    """Load the splits of a file (all train), a folder of files, or a data set saved by `datasets`.

    Raises:
        UserError: the training split has no file, or a file cannot be parsed.
    """
    check_regular(path)
    if task.format == "saved" or (task.format == "auto" and path.is_dir() and is_saved(path)):
        return _load_saved(path)
    if task.format == "images" or (task.format == "auto" and task.kind == "image" and holds_label_folders(path)):
        return read_image_folders(_folder(path))
    if path.is_file() and _format_of(path, task) == "npz":
        return read_npz(path)
    splits = split_files(path, task)
    return {split: _joined([_read(file, task) for file in files], files) for split, files in splits.items()}


def split_files(path: Path, task: TaskTable) -> dict[str, list[Path]]:
    """Return the files of each split: those of `task.files`, else by file name; a single file is train.

    Raises:
        UserError: a file in `task.files` does not exist, or the training split has no file.
    """
    if task.files:
        return {split: [_existing(path / name, split)] for split, name in task.files.items()}
    candidates = [path] if path.is_file() else _data_files(path, task)
    if len(candidates) == 1:
        return {"train": candidates}
    splits = {split: [file for file in candidates if split_name(file.name) == split] for split in SPLIT_NAMES}
    if not splits["train"]:
        raise UserError(f"{path}: no file is named for the split 'train' ({_some(candidates)}): set task.files")
    return {split: files for split, files in splits.items() if files}


def to_dataset(columns: Columns, place: object) -> datasets.Dataset:
    """Return columns as a data set; raises a `UserError` that names a column with values of different types."""
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(f"{place}: column '{name}' has values of different types: {_first_line(error)}") from error
    return datasets.Dataset(pa.table(arrays))


def _data_files(folder: Path, task: TaskTable) -> list[Path]:
    """Return the files of a folder that can be data: in format `auto` those with a known suffix."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    known = [file for file in files if task.format != "auto" or _format_of(file, task) is not None]
    if not known:
        raise UserError(f"{folder}: contains no data file ({_some(files)}): set task.files and task.format")
    return known


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"{path}: task.format = 'images' needs a folder of folders that are named for labels")
    return path


def _existing(path: Path, split: str) -> Path:
    if not path.is_file():
        raise UserError(f"missing data file: task.files.{split} = '{path.name}' ({path} does not exist)")
    return path


def _joined(parts: list[datasets.Dataset], files: list[Path]) -> datasets.Dataset:
    try:
        return datasets.concatenate_datasets(parts)
    except ValueError as error:
        raise UserError(
            f"{files[0].parent}: the columns differ between the files of one split: {_some(files)}"
        ) from error


def _read(path: Path, task: TaskTable) -> datasets.Dataset:
    match _format_of(path, task):
        case "csv":
            return to_dataset(read_csv(path, task.column_names, _delimiter(path, task)), path)
        case "jsonl":
            return to_dataset(read_json(path), path)
        case "conll":
            return to_dataset(read_conll(path, task.column_names), path)
        case "semeval2010-task8":
            return to_dataset(read_semeval2010(path), path)
        case "text":
            return to_dataset(read_plain_text(path), path)
        case "parquet" | "npz" as typed:
            return _read_parquet(path) if typed == "parquet" else read_npz(path)["train"]
    accepted = ", ".join(dict.fromkeys([*FORMAT_OF_SUFFIX.values(), "semeval2010-task8"]))
    raise UserError(f"{path}: the file name does not show the format: set task.format to one of {accepted}")


def _format_of(path: Path, task: TaskTable) -> str | None:
    """Return the format that the experiment or else the file's name gives; of labelled texts, a .txt has none."""
    if task.format != "auto":
        return task.format
    found = FORMAT_OF_SUFFIX.get(suffix_of(path))
    return None if found == "text" and task.kind != "next-token" else found


def _delimiter(path: Path, task: TaskTable) -> str:
    return task.delimiter or ("\t" if suffix_of(path) == ".tsv" else ",")


def _read_parquet(path: Path) -> datasets.Dataset:
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file: {_first_line(error)}") from error
    refuse_repeated(path, table.column_names)
    return datasets.Dataset(table)


def _load_saved(path: Path) -> dict[str, datasets.Dataset]:
    try:
        loaded = datasets.load_from_disk(path)
    except Exception as error:  # json, pyarrow and datasets raise different exceptions
        raise UserError(f"{path}: not a folder written by save_to_disk: {_first_line(error)}") from error
    return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


def _some(files: Iterable[Path]) -> str:
    names = [file.name for file in files]
    return f"found {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "it is empty"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
