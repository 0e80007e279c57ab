"""Arrays and numbers in Flower's records, packed and unpacked."""

import functools
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlab.common.arrays import Arrays

NUM_EXAMPLES = "num-examples"
TRAIN_LOSS = "train-loss"
CODEC = "codec"  # the record that says how arrays are encoded, and which order a reply answers


_STYPE = "numpy.ndarray"  # how Flower calls arrays whose data are a .npy file


Record = TypeVar("Record", ArrayRecord, MetricRecord, ConfigRecord)


_NPY_PREFIX = 10  # bytes before the header of a .npy file of version 1: magic, version, the header's length


def records_of(content: RecordDict, kind: type[Record]) -> dict[str, Record]:
    """Return the records of one kind, as the properties of `RecordDict` do, which make copies that are kept in step."""
    return {key: record for key, record in content.items() if isinstance(record, kind)}


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Pack named arrays in the dtypes and shapes they have."""
    record = ArrayRecord()
    for name, array in arrays.items():  # a record made of a dictionary would copy every array
        record[name] = _packed(np.asarray(array, order="C"))
    return record


def _packed(array: np.ndarray) -> Array:
    """Return what `Array(array)` does, in a third of the time where the array is small."""
    dtype, header = _dtype_and_header(array.dtype, array.shape)
    return Array(dtype, array.shape, _STYPE, header + array.tobytes())


@functools.lru_cache(maxsize=4096)
def _dtype_and_header(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[str, bytes]:
    """Return what Flower calls a type, and what it writes before the values of an array of this type and shape."""
    values = np.empty(shape, dtype)
    packed = Array(values)
    return packed.dtype, packed.data[: len(packed.data) - values.nbytes]


def from_record(record: ArrayRecord) -> Arrays:
    """Unpack named arrays in the dtypes and shapes they travelled with. They are read-only, as `values_of` says."""
    return {name: values_of(array) for name, array in record.items()}


def values_of(array: Array) -> np.ndarray:
    """Return what `array.numpy()` does, in a tenth of the time where the array is small, and without a copy.

    An array's data are a .npy file. Reading its header is most of the work for small ones, and all it says is known.
    The result is a read-only view of these data: whoever changes it copies it first.
    """
    data = array.data
    end = _NPY_PREFIX + int.from_bytes(data[_NPY_PREFIX - 2 : _NPY_PREFIX], "little")
    plain = data[6:7] == b"\x01" and b"'fortran_order': False" in data[:end] and array.stype == _STYPE
    if plain:
        return np.frombuffer(data, np.dtype(array.dtype), offset=end).reshape(array.shape)
    values = array.numpy()
    values.flags.writeable = False
    return values


def config_of(content: RecordDict, key: str) -> ConfigRecord:
    return records_of(content, ConfigRecord).get(key, ConfigRecord())


def number_of(value: object) -> float:
    assert isinstance(value, int | float), f"expected a number, got {value!r}"
    return value
