"""Arrays are packed and unpacked unchanged, as Flower packs them."""

import numpy as np
import pytest
from flwr.app import Array

from fedlab.messages.pack import from_record, to_record, values_of


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_arrays_keep_name_order_shape_and_bits():
    arrays = {
        "z": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array([], np.float32),
        "n": np.array([np.nan, -0.0, np.inf], np.float32),
    }
    assert_same(from_record(to_record(arrays)), arrays)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8"])
def test_arrays_travel_in_the_types_they_have(dtype):
    arrays = {"x": np.array([1 / 3, 2], dtype)}
    assert_same(from_record(to_record(arrays)), arrays)


def test_arrays_that_are_views_arrive_as_their_values():
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_same(from_record(to_record({"t": matrix.T, "s": matrix[:, ::2]})), {"t": matrix.T, "s": matrix[:, ::2]})


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_as_flower_reads_it(dtype, shape, order):
    array = Array(np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype, order=order))
    read, expected = values_of(array), array.numpy()
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == expected.dtype
    assert not read.flags.writeable  # a view of the message


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 0, 3), (1,) * 64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_packed_byte_for_byte_as_flower_packs_it(dtype, shape, order):
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype, order=order)
    assert to_record({"x": array})["x"] == Array(np.ascontiguousarray(array))


def test_an_array_of_objects_is_not_packed():
    with pytest.raises(ValueError, match="Object arrays"):
        to_record({"x": np.array([{}])})


def test_an_array_with_a_long_header_is_read_as_flower_reads_it():
    array = Array(np.zeros((1,) * 64, np.float32))
    assert values_of(array).shape == (1,) * 64
