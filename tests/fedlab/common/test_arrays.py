"""Arrays take the dtypes of others of the same names, and are copied only if that changes them."""

import numpy as np
import pytest

from fedlab.common.arrays import in_dtypes_of


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_arrays_take_the_dtypes_of_others_of_the_same_names(dtype):
    found = in_dtypes_of({"x": np.array([1.0, 2.0])}, {"x": np.zeros(1, dtype), "y": np.zeros(1)})

    assert list(found) == ["x"]
    assert (found["x"].dtype, found["x"].tolist()) == (dtype, [1.0, 2.0])


def test_whole_numbers_are_rounded_to_the_nearest():
    found = in_dtypes_of({"x": np.array([0.9, -0.9, 1.2])}, {"x": np.zeros(1, np.int64)})

    assert found["x"].tolist() == [1, -1, 1]


def test_arrays_of_other_names_and_those_that_have_the_dtype_are_passed_on():
    arrays = {"x": np.ones(2, np.float32), "z": np.ones(2)}

    found = in_dtypes_of(arrays, {"x": np.zeros(2, np.float32)})

    assert found["x"] is arrays["x"]
    assert found["z"] is arrays["z"]
