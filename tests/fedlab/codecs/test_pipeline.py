"""Pipelines: codecs compose, over all arrays of an update, without a byte of headers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedlab.codecs.codec import GarbledError
from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.quantiser import fp16, int4, int8
from fedlab.codecs.sparse import skip_zero_rows, top_k

COMBINATIONS = {
    "nothing": (),
    "rows": (skip_zero_rows(),),
    "rows, top-k": (skip_zero_rows(), top_k(share=0.3)),
    "top-k, rows": (top_k(share=0.3), skip_zero_rows()),
    "top-k twice": (top_k(share=0.5), top_k(share=0.5)),
    "top-k, int8": (top_k(share=0.2), int8()),
    "rows, int4": (skip_zero_rows(), int4()),
    "rows, top-k, fp16": (skip_zero_rows(), top_k(share=0.2), fp16()),
}
UPDATES = st.dictionaries(
    st.text(max_size=5),
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
        elements=st.floats(-9, 9, width=32),
    ),
    max_size=4,
)


def there_and_back(pipeline, arrays):
    data = pipeline.encode(arrays, np.random.default_rng(0))
    return pipeline.decode(data, {name: array.shape for name, array in arrays.items()})


@pytest.mark.parametrize("name", COMBINATIONS)
@settings(max_examples=25)
@given(arrays=UPDATES)
def test_every_combination_gives_back_arrays_of_the_same_names_and_shapes_no_larger(name, arrays):
    found = there_and_back(Pipeline(codecs=COMBINATIONS[name]), arrays)
    assert list(found) == list(arrays)
    for key, array in arrays.items():
        assert found[key].dtype == np.float32
        assert found[key].shape == array.shape
        assert np.abs(found[key]).max(initial=0.0) <= np.abs(array).max(initial=0.0) * (1 + 1e-3) + 1e-6


@settings(max_examples=25)
@given(arrays=UPDATES)
def test_a_pipeline_of_lossless_codecs_gives_back_every_value(arrays):
    for codecs in ((), (skip_zero_rows(),), (skip_zero_rows(), skip_zero_rows())):
        pipeline = Pipeline(codecs=codecs)
        assert pipeline.lossless
        for key, array in there_and_back(pipeline, arrays).items():
            np.testing.assert_array_equal(array, arrays[key])


def test_a_pipeline_is_lossless_only_if_all_its_codecs_are():
    assert not Pipeline(codecs=(skip_zero_rows(), int8())).lossless
    assert not Pipeline(codecs=(top_k(share=0.5),)).lossless


def test_without_codecs_a_value_takes_the_four_bytes_of_a_float():
    arrays = {"a": np.array([1.0, -2.0], np.float32), "b": np.array([[3.0]], np.float32)}
    data = Pipeline().encode(arrays, np.random.default_rng(0))
    assert data == np.array([1.0, -2.0, 3.0], "<f4").tobytes()


def test_the_values_top_k_keeps_are_quantised():
    array = np.zeros(1000, np.float32)
    array[[5, 50, 500]] = [127.0, -3.2, 1.9]
    pipeline = Pipeline(codecs=(top_k(share=0.003), int8(rounding="nearest")))
    data = pipeline.encode({"x": array}, np.random.default_rng(0))
    found = pipeline.decode(data, {"x": (1000,)})["x"]
    assert found[[5, 50, 500]].tolist() == [127.0, -3.0, 2.0]
    assert np.count_nonzero(found) == 3
    assert len(data) == 4 + 3 * 2 + 4 + 3  # number of words, 3 places (rare: two bytes each), a scale, 3 bytes


def test_an_embedding_of_which_few_rows_changed_takes_those_rows_in_int8():
    update = np.zeros((3000, 384), np.float32)
    update[::100] = 1.0
    data = Pipeline(codecs=(skip_zero_rows(), int8())).encode({"words": update}, np.random.default_rng(0))
    assert len(data) == 3000 / 8 + 30 * (384 + 4)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_bytes_too_many_or_too_few_are_noticed(name):
    pipeline = Pipeline(codecs=COMBINATIONS[name])
    data = pipeline.encode({"x": np.ones((6, 10), np.float32)}, np.random.default_rng(0))
    with pytest.raises(GarbledError, match="1 bytes too many"):
        pipeline.decode(data + b"\0", {"x": (6, 10)})
    with pytest.raises(GarbledError, match=r"x: \d+ bytes expected"):
        pipeline.decode(data[:-1], {"x": (6, 10)})


@pytest.mark.parametrize("name", COMBINATIONS)
@settings(max_examples=25)
@given(data=st.binary(max_size=200))
def test_whatever_the_bytes_decoding_ends_in_arrays_or_is_refused(name, data):
    try:
        found = Pipeline(codecs=COMBINATIONS[name]).decode(data, {"x": (6, 10), "y": (3,)})
    except GarbledError:
        return
    assert {key: array.shape for key, array in found.items()} == {"x": (6, 10), "y": (3,)}
