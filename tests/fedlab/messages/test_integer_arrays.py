"""Mantissas and exponents in messages: those of the integer engine, and what is refused."""

import numpy as np
import pytest
import torch

from fedlab.errors import UserError
from fedlab.messages.integer_arrays import EXPONENTS, check_integer_arrays, dequantised_arrays, quantised_arrays
from fedlab.models.integer.tensor import stretched


def test_mantissas_and_exponents_are_those_of_the_integer_engine():
    drawn = np.random.default_rng(0)
    arrays = {
        f"{place}.weight": drawn.standard_normal((4, place + 1)).astype(np.float32) * 3**place for place in range(6)
    }
    arrays["6.weight"] = np.zeros((2, 2), np.float32)
    arrays["7.weight"] = np.full((2,), 0.25, np.float32)
    found = quantised_arrays(arrays)
    assert list(found) == [*arrays, EXPONENTS]
    for index, (name, array) in enumerate(arrays.items()):
        expected = stretched(torch.from_numpy(array))
        assert found[name].dtype == np.int8
        np.testing.assert_array_equal(found[name], expected.mantissa.numpy())
        assert found[EXPONENTS][index] == expected.exponent
        np.testing.assert_array_equal(dequantised_arrays(found, found[EXPONENTS])[name], expected.floats().numpy())


def test_what_was_quantised_once_is_quantised_alike_again():
    once = quantised_arrays({"x": np.random.default_rng(0).standard_normal(50).astype(np.float32)})
    again = quantised_arrays(dequantised_arrays(once, once[EXPONENTS]))
    assert all(np.array_equal(once[name], again[name]) for name in once)


def test_a_message_of_int8_is_a_quarter_of_the_floats():
    floats = {"x": np.ones((500, 800), np.float32)}
    sent = sum(array.nbytes for array in quantised_arrays(floats).values())
    assert sent == 400_001


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros(3, np.float32)},
        {"x": np.zeros(3, np.int8)},
        {"x": np.zeros(3, np.int16), EXPONENTS: np.zeros(1, np.int8)},
        {"x": np.zeros(3, np.int8), EXPONENTS: np.zeros(2, np.int8)},
        {"x": np.zeros(3, np.int8), EXPONENTS: np.zeros(1, np.float32)},
    ],
)
def test_arrays_that_are_not_mantissas_with_exponents_are_refused(arrays):
    with pytest.raises(UserError, match="such as q-fedavg or q-fedupdate"):
        check_integer_arrays(arrays)
