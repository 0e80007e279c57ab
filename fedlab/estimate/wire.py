"""How many bytes messages take, from the shapes of their arrays alone: Flower's encoding without Flower.

Exact for the arrays, whose records are protocol buffers around NumPy's file format. What else a message holds (round,
group, configuration, metrics, passes) depends on values of a few bytes each, and counts as a fixed `ORDER_BYTES` or
`REPLY_BYTES`; a message of ours is within `TOLERANCE_BYTES` of that.
"""

import io
import json
from collections.abc import Mapping

import numpy as np

from fedlab.codecs.pipeline import Pipeline
from fedlab.common.arrays import Shape
from fedlab.common.protobuf import field_bytes, varint_bytes

ORDER_BYTES = 104
REPLY_BYTES = 224
TOLERANCE_BYTES = 128
_FRAME = "fedlab.frame"  # as `fedlab.codecs.transport.delta` calls it
_FRAME_HEAD_BYTES = 4
_CODEC_BYTES = 120  # the terms of a codec in an order, and its ticket


def order_bytes(shapes: Mapping[str, Shape], payload_bytes: int | None = None, *, dtype: str = "float32") -> int:
    """Return the size of an order to train arrays of these shapes, as they are or as `encoded_bytes` says."""
    if payload_bytes is None:
        return _arrays_bytes(shapes, dtype) + ORDER_BYTES
    layout = json.dumps([[name, list(shape)] for name, shape in shapes.items()], separators=(",", ":"))
    return _frame_bytes(payload_bytes + len(layout)) + ORDER_BYTES + _CODEC_BYTES


def reply_bytes(shapes: Mapping[str, Shape], payload_bytes: int | None = None, *, dtype: str = "float32") -> int:
    """Return the size of a reply with arrays of these shapes, which the order had as well."""
    return (_arrays_bytes(shapes, dtype) if payload_bytes is None else _frame_bytes(payload_bytes)) + REPLY_BYTES


def encoded_bytes(shapes: Mapping[str, Shape], pipeline: Pipeline) -> int:
    """Return what a pipeline writes of arrays of these shapes, whose values are dense and random.

    Of a codec whose output depends on the values (`skip-zero-rows`) that is the most it can be.
    """
    by_shape: dict[Shape, int] = {}
    for shape in shapes.values():
        if shape not in by_shape:
            draws = np.random.default_rng(0)
            values = draws.standard_normal(shape, np.float32)
            by_shape[shape] = len(pipeline.encode({"values": values}, draws))
    return sum(by_shape[shape] for shape in shapes.values())


def num_parameters(shapes: Mapping[str, Shape]) -> int:
    """Return how many values arrays of these shapes have."""
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _arrays_bytes(shapes: Mapping[str, Shape], dtype: str) -> int:
    items = (_item(name, _array_bytes(shape, dtype)) for name, shape in shapes.items())
    return field_bytes(_item("arrays", sum(map(field_bytes, items))))


def _frame_bytes(payload: int) -> int:
    frame = _array_bytes((_FRAME_HEAD_BYTES + payload,), "uint8")
    return field_bytes(_item("arrays", field_bytes(_item(_FRAME, frame))))


def _array_bytes(shape: Shape, dtype: str) -> int:
    """Return the size of `Array`: its type, shape and kind of serialisation, and its data as a NumPy file."""
    head = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": shape})
    data = len(head.getvalue()) + int(np.prod(shape)) * np.dtype(dtype).itemsize
    return (
        field_bytes(len(dtype))
        + field_bytes(sum(map(varint_bytes, shape)))
        + field_bytes(len("numpy.ndarray"))
        + field_bytes(data)
    )


def _item(key: str, value: int) -> int:
    """Return the size of an entry of a map: its key and a value, by the value's length in bytes."""
    return field_bytes(len(key)) + field_bytes(value)
