"""Bytes are read as the array they are said to be, or not at all: nothing in them is believed."""

import pickle

import numpy as np
import pytest
from flwr.app import Array
from hypothesis import given
from hypothesis import strategies as st

from fedlab.messages.npy import CheckedArray, GarbledArrayError, view_of, views_of
from fedlab.messages.pack import to_record

SINGLE = np.dtype(np.float32)
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


BYTES = VALUES.tobytes()


def npy(header, values=BYTES, version=b"\x01\x00"):
    text = header.encode() + b" " * 8 + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little") + text + values


def array_of(data, dtype="float32", shape=(2, 3), stype="numpy.ndarray"):
    return Array(dtype, shape, stype, data)


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3)}",
        "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}",
    ],
)
def test_every_way_to_write_a_header_is_read(version, header):
    np.testing.assert_array_equal(view_of(array_of(npy(header, version=version)), SINGLE, (2, 3)), VALUES)


def test_an_array_in_the_order_of_fortran_is_read():
    data = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", VALUES.tobytes(order="F"))
    np.testing.assert_array_equal(view_of(array_of(data), SINGLE, (2, 3)), VALUES)
    np.testing.assert_array_equal(view_of(Array(np.asfortranarray(VALUES)), SINGLE, (2, 3)), VALUES)


@pytest.mark.parametrize("values", [np.float32(3), np.zeros((0, 4), np.float32), np.ones(5), np.ones(4, np.int8)])
def test_what_numpy_writes_is_read_as_it_was(values):
    values = np.asarray(values)
    view = view_of(Array(values), values.dtype, values.shape)
    assert (view.dtype, view.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(view, values)


def test_a_view_is_of_the_bytes_themselves_and_cannot_be_written_to():
    array = Array(VALUES)
    view = view_of(array, SINGLE, (2, 3))
    assert view.base is array.data
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stype": "pickle"}, "is serialized as 'pickle', expected 'numpy.ndarray'"),
        ({"dtype": "object"}, "has the type 'object', expected 'float32'"),
        ({"shape": (3, 2)}, r"has the shape \(3, 2\), expected \(2, 3\)"),
        ({"shape": (10**13,)}, r"has the shape \(10000000000000,\), expected \(2, 3\)"),
        ({"data": b""}, "is no .npy file of version 1, 2 or 3"),
        ({"data": b"nonsense"}, "is no .npy file of version 1, 2 or 3"),
        ({"data": pickle.dumps({"a": 1})}, "is no .npy file of version 1, 2 or 3"),
        ({"data": b"\x93NUMPY\x04\x00" + bytes(200)}, "is no .npy file of version 1, 2 or 3"),
        ({"data": b"\x93NUMPY\x01\x00\xff\xff"}, "has a header of 65535 bytes, expected at most 4096"),
        ({"data": Array(VALUES).data[:50]}, "ends within its header, after 50 bytes"),
        ({"data": Array(VALUES).data[:-1]}, "has 151 bytes, expected 152"),
        ({"data": Array(VALUES).data + b"x"}, "has 153 bytes, expected 152"),
    ],
)
def test_what_is_not_the_expected_array_is_refused(changes, reason):
    with pytest.raises(GarbledArrayError, match=reason):
        view_of(array_of(**{"data": Array(VALUES).data} | changes), SINGLE, (2, 3))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", """has the type "'|O'" in its header"""),
        ("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}", "in its header, expected 'float32'"),
        ("{'descr': '<f4', 'fortran_order': True, 'shape': (10000000000000,)}", "(10000000000000,)"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", "'(6,)' in its header, expected (2, 3)"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}", "a header that is not one"),
        ("{'descr': '<f4', 'fortran_order': __import__('os'), 'shape': (2, 3)}", "a header that is not one"),
        ("{'descr': '<f4', 'shape': (2, 3)}", "a header that is not one"),
        ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", "a header that is not one"),
        ("{'descr': '<f4', 'fortran_order': '', 'shape': (2, 3)}", "a header that is not one"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': '2, 3'}", "a header that is not one"),
        ("[" * 4000, "a header that is not one"),
    ],
)
def test_a_header_that_says_something_else_is_refused(header, reason):
    with pytest.raises(GarbledArrayError) as refusal:
        view_of(array_of(npy(header)), SINGLE, (2, 3))
    assert reason in str(refusal.value)


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_refused_and_nothing_else_is_raised(data):
    for bytes_ in (data, b"\x93NUMPY\x01\x00" + data, Array(VALUES).data[:128] + data[:23]):
        with pytest.raises(GarbledArrayError):
            view_of(array_of(bytes_), SINGLE, (2, 3))


def test_a_checked_array_is_copied_where_it_may_be_changed_and_is_an_array_of_flowers_on_the_wire():
    array = Array(VALUES)
    checked = CheckedArray(array, view_of(array, SINGLE, (2, 3)))
    checked.numpy()[:] = 0.0
    np.testing.assert_array_equal(checked.numpy(), VALUES)
    assert checked.deflate() == array.deflate()


def test_arrays_that_were_checked_are_not_parsed_again(monkeypatch):
    record = to_record({"x": VALUES})
    record["x"] = CheckedArray(record["x"], view_of(record["x"], SINGLE, (2, 3)))
    monkeypatch.setattr("fedlab.messages.npy.view_of", pytest.fail)
    np.testing.assert_array_equal(views_of(record)["x"], VALUES)
