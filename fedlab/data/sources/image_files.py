"""Images in files: folders of PNG and JPEG files that are named for labels, and arrays in an .npz file."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from datasets.features.features import Array2DExtensionType, Array3DExtensionType

from fedlab.common.short_text import raised
from fedlab.data.sources.base import SPLIT_NAMES, split_name
from fedlab.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_EXTENSIONS = {3: Array2DExtensionType, 4: Array3DExtensionType}


def holds_label_folders(path: Path) -> bool:
    """Tell whether a folder has folders of images: of labels, or of splits that have folders of labels."""
    return path.is_dir() and next(_images_below(path, depth=3), None) is not None


def read_image_folders(path: Path) -> dict[str, datasets.Dataset]:
    """Read `split/label/file`, or `label/file`, all of which is train, into columns `image` and `label`, by split.

    A split's folder is named as a split's file would be; it has folders alone. A label's folder may have folders.

    Raises:
        UserError: there are no images, or a file is neither PNG nor JPEG.
    """
    tops = _folders(path)
    splits = {top: split_name(top.name) for top in tops if split_name(top.name) and _folders(top)}
    if not splits:
        return {"train": _labelled(path, tops)}
    if other := next((top for top in tops if top not in splits), None):
        raise UserError(f"{other}: is no folder of a split, expected {', '.join(SPLIT_NAMES)} alone beside each other")
    return {str(split): _labelled(path, _folders(top)) for top, split in splits.items()}


def read_npz(path: Path) -> dict[str, datasets.Dataset]:
    """Read the arrays of an .npz file as columns, by split.

    Arrays that are named for splits (`x_train`, `test_images`) are the columns `x` and `images` of these. In a file
    without such names, an array of truth values named for a split (`test`) says which rows are that split's.

    Raises:
        UserError: it is no such file, or its arrays differ in length or cannot be columns.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not an .npz file of arrays: {raised(error)}") from error
    return {split: _table(path, columns) for split, columns in _splits_of(path, arrays).items()}


def _splits_of(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    marks = {name: array for name, array in arrays.items() if array.dtype == bool and name in SPLIT_NAMES}
    if marks:
        columns = {name: array for name, array in arrays.items() if name not in marks}
        _check_lengths(path, arrays)
        rest = ~np.logical_or.reduce(list(marks.values()))
        rows = {"train": rest, **marks}
        return {split: {name: array[where] for name, array in columns.items()} for split, where in rows.items()}
    named = {name: split_name(name) for name in arrays}
    if not any(named.values()):
        return {"train": dict(arrays)}
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, split in named.items():
        if split is not None:
            found.setdefault(split, {})[_without_split(name)] = arrays[name]
    return found


def _without_split(name: str) -> str:
    """Return what is left of `x_train` or `test_images` without the split: x, images."""
    parts = [part for part in re.split(r"[_.-]", name) if not split_name(part)]
    return "_".join(parts) or name


def _table(path: Path, columns: Mapping[str, np.ndarray]) -> datasets.Dataset:
    _check_lengths(path, columns)
    try:
        return datasets.Dataset(pa.table({name: _column(array) for name, array in columns.items()}))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in columns.items())
        raise UserError(f"{path}: has arrays that cannot be columns: {shapes}") from error


def _column(array: np.ndarray) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    extension = _EXTENSIONS[array.ndim]
    storage = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        storage = pa.ListArray.from_arrays(pa.array(np.arange(0, len(storage) + 1, size, dtype=np.int32)), storage)
    return pa.ExtensionArray.from_storage(extension(array.shape[1:], str(array.dtype)), storage)


def _check_lengths(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    lengths = {name: len(array) if array.ndim else 0 for name, array in columns.items()}
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
        raise UserError(f"{path}: expected arrays of one length, found {listed}")


def _labelled(path: Path, labels: list[Path]) -> datasets.Dataset:
    files = [(file, label.name) for label in labels for file in _images_of(label)]
    if not files:
        raise UserError(f"{path}: has no images: expected label/file or split/label/file, of PNG or JPEG files")
    # The files are read when they are decoded, and named as they are found from the folder of the data.
    images = [{"bytes": None, "path": str(file)} for file, _ in files]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return datasets.Dataset(pa.table({"image": pa.array(images, kind), "label": [label for _, label in files]}))


def _images_of(label: Path) -> Iterator[Path]:
    for file in sorted(label.rglob("*")):
        if not file.is_file() or file.name.startswith("."):
            continue
        if file.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{file}: is no image, expected {', '.join(IMAGE_SUFFIXES)} in a folder of a label")
        yield file


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))


def _images_below(path: Path, depth: int) -> Iterator[Path]:
    """Yield images in the folders of a folder, down to a depth, until the first is found by a caller."""
    for folder in _folders(path):
        yield from (each for each in folder.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file())
        if depth > 1:
            yield from _images_below(folder, depth - 1)
