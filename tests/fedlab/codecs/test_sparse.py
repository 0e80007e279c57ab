"""Sparse codecs: only the largest values, or only the rows that are not all zero, at honest sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedlab.codecs.codec import GarbledError, Reader
from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.sparse import pack_gaps, skip_zero_rows, top_k, unpack_gaps

ARRAYS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=12), elements=st.floats(-9, 9, width=32)
)


def there_and_back(codec, array):
    pipeline = Pipeline(codecs=(codec,))
    data = pipeline.encode({"x": array}, np.random.default_rng(0))
    return pipeline.decode(data, {"x": array.shape})["x"], len(data)


def test_only_the_largest_magnitudes_come_back():
    array = np.array([[0.1, -5.0, 0.2], [3.0, -0.3, 4.0]], np.float32)
    found, size = there_and_back(top_k(share=0.5), array)
    np.testing.assert_array_equal(found, [[0.0, -5.0, 0.0], [3.0, 0.0, 4.0]])
    assert size == 4 + 3 * 1 + 3 * 4  # how many words, a byte a place, a float32 a value


@settings(max_examples=50)
@given(array=ARRAYS, share=st.floats(0.01, 1.0))
def test_what_is_kept_comes_back_to_the_bit_and_nothing_left_out_is_larger(array, share):
    found, _ = there_and_back(top_k(share=share), array)
    count = min(array.size, max(1, round(share * array.size)))
    magnitudes = np.sort(np.abs(array), axis=None)
    np.testing.assert_array_equal(
        np.sort(np.abs(found), axis=None)[array.size - count :], magnitudes[array.size - count :]
    )
    kept = found != 0
    np.testing.assert_array_equal(found[kept], array[kept])
    assert np.count_nonzero(kept) <= count


def test_every_array_keeps_a_value_at_least():
    found, _ = there_and_back(top_k(share=0.001), np.array([1.0, 2.0], np.float32))
    np.testing.assert_array_equal(found, [0.0, 2.0])


def test_a_share_of_one_keeps_everything():
    array = np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)
    np.testing.assert_array_equal(there_and_back(top_k(share=1.0), array)[0], array)


@pytest.mark.parametrize(("share", "bytes_a_place"), [(0.05, 1.01), (0.01, 1.1), (0.005, 1.4), (0.001, 2.01)])
def test_places_take_little_more_than_a_byte_and_two_where_they_are_rare(share, bytes_a_place):
    array = np.random.default_rng(0).normal(size=(1000, 300)).astype(np.float32)
    _, size = there_and_back(top_k(share=share), array)
    kept = round(share * array.size)
    assert 4 * kept + kept <= size <= 4 + (4 + bytes_a_place) * kept


def test_a_gap_too_long_for_a_word_takes_several():
    places = np.array([0, 1, 302, 302 + 255])
    words = pack_gaps(places, np.dtype("u1"))
    assert words.tolist() == [0, 0, 255, 45, 254]
    assert pack_gaps(np.array([255, 511]), np.dtype("u1")).tolist() == [255, 0, 255, 0]
    np.testing.assert_array_equal(unpack_gaps(words), places)


@settings(max_examples=50)
@given(places=st.sets(st.integers(0, 200_000)), word=st.sampled_from(["u1", "<u2"]))
def test_places_come_back_from_their_gaps(places, word):
    ordered = np.array(sorted(places), np.int64)
    np.testing.assert_array_equal(unpack_gaps(pack_gaps(ordered, np.dtype(word))), ordered)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, "much"])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ValueError, match=r"share: .* is not a number above 0 and at most 1"):
        top_k(share=share)


@pytest.mark.parametrize("words", [[9, 9], [0], [0, 0, 0], [255, 255]])
def test_places_that_cannot_be_are_noticed(words):
    data = np.array([len(words)], "<u4").tobytes() + bytes(words) + bytes(8)
    with pytest.raises(GarbledError, match="the places of 2 of 10 values are wrong"):
        top_k(share=0.2).decode(Reader(data), (10,), lambda shape: np.zeros(shape, np.float32))


def test_zero_rows_cost_a_bit():
    array = np.zeros((1000, 50), np.float32)
    array[[3, 700]] = 1.5
    found, size = there_and_back(skip_zero_rows(), array)
    np.testing.assert_array_equal(found, array)
    assert size == 1000 / 8 + 2 * 50 * 4


@settings(max_examples=50)
@given(array=ARRAYS)
def test_skipping_zero_rows_loses_nothing(array):
    found, _ = there_and_back(skip_zero_rows(), array)
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape


def test_a_vector_is_one_row():
    assert there_and_back(skip_zero_rows(), np.zeros(800, np.float32))[1] == 1
    assert there_and_back(skip_zero_rows(), np.eye(1, 800, dtype=np.float32)[0])[1] == 1 + 800 * 4


def test_a_row_of_what_is_no_number_is_not_zero():
    found, _ = there_and_back(skip_zero_rows(), np.full((2, 3), np.nan, np.float32))
    assert np.isnan(found).all()
