"""Reading the .npy files that arrays travel as, without trusting a byte of them.

`numpy.load` believes the header: it evaluates it, makes a type of it and allocates what the shape asks for. Here a
header is only compared with the type and shape that are expected; NumPy sees the values once their number is right.
"""

import functools
import math
import re
from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord

from fedlab.common.arrays import Arrays, Shape

STYPE = "numpy.ndarray"  # how Flower calls arrays whose data are a .npy file
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # of the header's length, by version
_MOST_HEADER_BYTES = 4096
_FIELD = re.compile(r"'(\w+)'\s*:\s*('[^']*'|True|False|\([\d,\s]*\))\s*(?:,|$)\s*")


class GarbledArrayError(ValueError):
    """Bytes that are not the array they are said to be."""


class CheckedArray(Array):
    """An array that was checked when it came: `values` is a read-only view of its bytes.

    `numpy()` copies the values, which Flower's strategies may change, and parses nothing.
    """

    values: np.ndarray

    def __init__(self, array: Array, values: np.ndarray) -> None:
        super().__init__(array.dtype, tuple(array.shape), array.stype, array.data)
        self.values = values

    def numpy(self) -> np.ndarray:
        """Return the values."""
        return self.values.copy()


# Flower writes the name of an object's class before its bytes, and reads back those it knows.
CheckedArray.__qualname__ = Array.__qualname__


def views_of(record: ArrayRecord) -> Arrays:
    """Return read-only views of the arrays of a record; those that were checked are not parsed again.

    Raises:
        GarbledArrayError: an array's bytes are not those of its type and shape.
    """
    return {
        name: array.values if isinstance(array, CheckedArray) else view_of(array, np.dtype(array.dtype), array.shape)
        for name, array in record.items()
    }


def view_of(array: Array, dtype: np.dtype, shape: Shape) -> np.ndarray:
    """Return a read-only view of an array that must be of this type and shape.

    Raises:
        GarbledArrayError: its bytes are not, as it says itself or as they say.
    """
    if array.stype != STYPE:
        raise GarbledArrayError(f"is serialized as {_short(array.stype)}, expected '{STYPE}'")
    if array.dtype != str(dtype):
        raise GarbledArrayError(f"has the type {_short(array.dtype)}, expected '{dtype}'")
    if tuple(array.shape) != shape:
        raise GarbledArrayError(f"has the shape {_short(tuple(array.shape))}, expected {shape}")
    end, fortran = _header_end(array.data, dtype, shape)
    expected = end + math.prod(shape) * dtype.itemsize
    if len(array.data) != expected:
        raise GarbledArrayError(f"has {len(array.data)} bytes, expected {expected}")
    values = np.ndarray(shape, dtype, buffer=array.data, offset=end, order="F" if fortran else "C")
    values.flags.writeable = False
    return values


def _header_end(data: bytes, dtype: np.dtype, shape: Shape) -> tuple[int, bool]:
    """Return where the values begin, and whether they are in Fortran's order."""
    if not isinstance(data, bytes):
        raise GarbledArrayError(f"has no bytes but {type(data).__name__}")
    usual = usual_header(dtype, shape)
    return (len(usual), False) if data.startswith(usual) else _parsed_header_end(data, dtype, shape)


@functools.lru_cache(maxsize=4096)
def usual_header(dtype: np.dtype, shape: Shape) -> bytes:
    """Return what NumPy writes before the values of an array in C order."""
    written = BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(written, header)
    return written.getvalue()


def _parsed_header_end(data: bytes, dtype: np.dtype, shape: Shape) -> tuple[int, bool]:
    """Return what `_header_end` does, of a header written otherwise than NumPy does in C order."""
    length_bytes = _LENGTH_BYTES.get(data[6:8])
    if data[:6] != _MAGIC or length_bytes is None:
        raise GarbledArrayError("is no .npy file of version 1, 2 or 3")
    start = 8 + length_bytes
    length = int.from_bytes(data[8:start], "little")
    if length <= _MOST_HEADER_BYTES and start + length > len(data):
        raise GarbledArrayError(f"ends within its header, after {len(data)} bytes")
    if length > _MOST_HEADER_BYTES:
        raise GarbledArrayError(f"has a header of {length} bytes, expected at most {_MOST_HEADER_BYTES}")
    fields = _fields(data[start : start + length].decode("latin-1"))
    if fields["descr"] != f"'{np.lib.format.dtype_to_descr(dtype)}'":
        raise GarbledArrayError(f"has the type {_short(fields['descr'])} in its header, expected '{dtype}'")
    if tuple(int(size) for size in re.findall(r"\d+", fields["shape"])) != shape:
        raise GarbledArrayError(f"has the shape {_short(fields['shape'])} in its header, expected {shape}")
    return start + length, fields["fortran_order"] == "True"


def _fields(header: str) -> dict[str, str]:
    """Return the fields of a header as they are written; nothing is evaluated."""
    text = header.strip()
    inner = text[1:-1].strip() if text[:1] == "{" and text[-1:] == "}" else "?"
    fields = _FIELD.findall(inner)
    if _FIELD.sub("", inner) or sorted(name for name, _ in fields) != ["descr", "fortran_order", "shape"]:
        raise GarbledArrayError("has a header that is not one of a .npy file")
    found = dict(fields)
    if found["fortran_order"] not in ("True", "False") or found["shape"][:1] != "(":
        raise GarbledArrayError("has a header that is not one of a .npy file")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
