"""Frames: all encoded arrays of a model as one array of bytes, with names and shapes if the receiver cannot know them.

    4 bytes   length of the layout, little-endian
    layout    JSON: [name, shape] for each array in order; shape null means that the array is sent outside the frame
    the rest  the bytes of the pipeline

An empty layout means: exactly the arrays that the receiver expects. A model is one frame because Flower adds a header
of about 200 bytes to each array, more than the quantised arrays of a narrow adapter take.
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
    """Return the bytes of the pipeline, and the layout, or None if it is the expected one.

    Raises:
        GarbledError: the array is not a frame.
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
        raise ValueError(f"{value!r} is not a size")
    return value
