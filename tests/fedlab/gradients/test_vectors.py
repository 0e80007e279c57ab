"""Arrays as one vector, whose order does not depend on that of the arrays."""

import numpy as np

from fedlab.gradients.vectors import flat, layout_of, named, size_of_layout, spans_of

ARRAYS = {"b": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), "a": np.array([5.0], np.float32)}


def test_a_vector_has_the_arrays_in_the_order_of_their_names():
    assert flat(ARRAYS).tolist() == [5, 1, 2, 3, 4]
    assert flat(dict(reversed(ARRAYS.items()))).tolist() == [5, 1, 2, 3, 4]
    assert spans_of(layout_of(ARRAYS)) == {"a": slice(0, 1), "b": slice(1, 5)}
    assert size_of_layout(layout_of(ARRAYS)) == 5


def test_a_vector_is_taken_apart_again():
    back = named(flat(ARRAYS).astype(np.float64), layout_of(ARRAYS))
    assert list(back) == ["a", "b"]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == np.float32


def test_no_arrays_are_an_empty_vector():
    assert flat({}).shape == (0,)
