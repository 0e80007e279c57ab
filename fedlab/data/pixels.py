"""The images of a split as arrays of pixels, decoded from the column that the experiment names."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from fedlab.common.short_text import raised, short
from fedlab.config.schema import TaskTable
from fedlab.errors import UserError

_CHANNELS = {"L": 1, "RGB": 3}  # of the modes of Pillow that are read as they are
_AS = {"1": "L", "P": "RGB"}  # modes that are kept without a loss as others
_ACCEPTED = (1, 3)


def read_pixels(dataset: datasets.Dataset, name: str, table: TaskTable, split: str) -> list[np.ndarray | None]:
    """Return the images of a column, each uint8 [C, H, W]; None where there is none.

    Images are encoded (PNG, JPEG and what else Pillow reads), as bytes or in a file, or arrays of uint8, [H, W] or
    [H, W, C]. Grey ones have one channel, others have three.

    Raises:
        UserError: an image cannot be read, or is not of the size of the others. The message names the first such image
            and says how many there are.
    """
    images = _decoded(dataset, name, split)
    wanted = None if table.image_shape is None else tuple(table.image_shape)
    _check_shapes(images, wanted, split)
    return [image for _, image in images]


def _decoded(dataset: datasets.Dataset, name: str, split: str) -> list[tuple[str, np.ndarray | None]]:
    """Return images with what they are called in messages."""
    feature = dataset.features[name]
    if isinstance(feature, datasets.Array2D | datasets.Array3D):
        return _of_arrays(dataset, name, split)
    if isinstance(feature, datasets.Image):
        dataset = dataset.cast_column(name, datasets.Image(decode=False))
    values: Sequence[Any] = dataset.with_format(None)[name][:]
    found: list[tuple[str, np.ndarray | None]] = []
    failures: list[str] = []
    for number, value in enumerate(values, start=1):
        called = _called(value, number)
        try:
            found.append((called, _image(value, name, split)))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            failures.append(f"{called} ({raised(error)})")
    if failures:
        raise UserError(
            f"split '{split}': {len(failures)} of {len(values)} images cannot be read, the first is {failures[0]}"
        )
    return found


def _called(value: object, number: int) -> str:
    path = value.get("path") if isinstance(value, dict) else None
    return str(path) if path else f"example {number}"


def _image(value: object, name: str, split: str) -> np.ndarray | None:
    if value is None:
        return None
    if isinstance(value, dict) and set(value) >= {"bytes", "path"}:
        encoded = value["bytes"] if value["bytes"] is not None else Path(str(value["path"])).read_bytes()
    elif isinstance(value, bytes):
        encoded = value
    else:
        raise UserError(
            f"task.image = '{name}': has {short(value)} in split '{split}', expected encoded images (bytes, or bytes"
            " and path) or arrays of uint8"
        )
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()
        mode = _AS.get(image.mode, image.mode)
        if mode not in _CHANNELS:
            raise ValueError(f"is of mode {mode}, expected grey or RGB")
        pixels = np.asarray(image if mode == image.mode else image.convert(mode), np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _of_arrays(dataset: datasets.Dataset, name: str, split: str) -> list[tuple[str, np.ndarray | None]]:
    kind = dataset.features[name].dtype
    if kind != "uint8":
        raise UserError(f"task.image = '{name}': has values of type {kind} in split '{split}', expected uint8")
    values = dataset.with_format("numpy", dtype=np.uint8)[name][:]
    shaped = values[:, None] if values.ndim == 3 else _channels_first(values, name)
    return [(f"example {number}", image) for number, image in enumerate(shaped, start=1)]


def _channels_first(values: np.ndarray, name: str) -> np.ndarray:
    if values.shape[3] in _ACCEPTED:
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    if values.shape[1] in _ACCEPTED:
        return values
    raise UserError(
        f"task.image = '{name}': has arrays of {' x '.join(map(str, values.shape[1:]))}, expected height x width, with"
        " 1 or 3 channels behind or before them"
    )


def _check_shapes(images: Sequence[tuple[str, np.ndarray | None]], wanted: tuple[int, ...] | None, split: str) -> None:
    shapes = [(called, image.shape) for called, image in images if image is not None]
    if not shapes:
        return
    first, shape = shapes[0]
    expected = wanted or shape
    others = [(called, each) for called, each in shapes if each != expected]
    if others:
        as_what = "task.image_shape" if wanted else first
        called, each = others[0]
        raise UserError(
            f"split '{split}': {len(others)} of {len(shapes)} images are not {sizes(expected)} as {as_what}: the first"
            f" is {called}, {sizes(each)}"
        )


def sizes(shape: Sequence[int]) -> str:
    """Return the shape of an image in words."""
    channels, height, width = shape
    return f"{channels} x {height} x {width} (channels, height, width)"
