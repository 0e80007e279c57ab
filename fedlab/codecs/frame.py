"""Encoded arrays as one array of bytes, with names and shapes where the receiver cannot know them.

    4 bytes   length of the layout, little-endian
    layout    JSON: [name, shape] for each array in order; shape null: the array travels beside the frame, as it is
    the rest  what a pipeline wrote

An empty layout says: exactly the arrays the receiver expects. One array for a whole model, because Flower's header of
some 200 bytes an array would be more than the quantised arrays of a narrow adapter.
"""

import json
from collections.abc import Mapping

import numpy as np

from fedlab.codecs.codec import GarbledError, Reader
from fedlab.common.arrays import Shape

Layout = Mapping[str, Shape | None]


def write_frame(payload: bytes, layout: Layout | None = None) -> np.ndarray:
    """Return the bytes of a frame."""
    head = b"" if layout is None else json.dumps(list(layout.items()), separators=(",", ":")).encode()
    return np.frombuffer(np.array([len(head)], "<u4").tobytes() + head + payload, np.uint8)


def read_frame(frame: np.ndarray) -> tuple[memoryview, Layout | None]:
    """Return what a pipeline wrote, and the layout, None if it is the one expected.

    Raises:
        GarbledError: this is no frame.
    """
    data = memoryview(np.ascontiguousarray(frame, np.uint8).data)
    reader = Reader(data)
    (length,) = reader.take("<u4", 1)
    head = reader.take(np.uint8, int(length)).tobytes()
    return data[4 + len(head) :], _layout(head) if head else None


def _layout(head: bytes) -> Layout:
    try:
        entries = json.loads(head)
        return {str(name): None if shape is None else tuple(map(_size, shape)) for name, shape in entries}
    except (ValueError, TypeError, RecursionError) as error:
        raise GarbledError(f"the layout is wrong: {error}") from error


def _size(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value
