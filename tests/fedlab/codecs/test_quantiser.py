"""Quantisers: as small as they say, as near as their step, unbiased where rounding is stochastic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedlab.codecs.codec import GarbledError, Reader
from fedlab.codecs.quantiser import fp16, int4, int8

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=40)
VALUES = st.floats(-1e6, 1e6, width=32)
TOO_SMALL = 127 * 1.2e-38  # counts as zero
STEPS = {"int8": 127, "int4": 7}
MAKERS = {"int8": int8, "int4": int4}


def draws(seed=0):
    return np.random.default_rng(seed)


def written(codec, array, seed=0):
    data, _ = codec.encode(array, draws(seed))
    return data


def there_and_back(codec, array, seed=0):
    reader = Reader(written(codec, array, seed))
    found = codec.decode(reader, array.shape, lambda shape: np.empty(shape, np.float32))
    reader.end()
    return found


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("rounding", "steps_off"), [("nearest", 0.5), ("stochastic", 1.0)])
@settings(max_examples=40)
@given(array=hnp.arrays(np.float32, SHAPES, elements=VALUES))
def test_a_value_comes_back_within_a_step_of_its_largest_neighbour(name, rounding, steps_off, array):
    found = there_and_back(MAKERS[name](rounding=rounding), array)
    assert found.dtype == np.float32
    assert found.shape == array.shape
    step = np.abs(array).max(initial=0.0) / STEPS[name]
    assert np.all(np.abs(found - array) <= steps_off * step * (1 + 1e-5) + TOO_SMALL)


def test_a_row_of_256_values_or_more_has_a_scale_of_its_own():
    rows = np.stack([np.linspace(-1, 1, 256), np.linspace(-1e-6, 1e-6, 256)]).astype(np.float32)
    found = there_and_back(int8(rounding="nearest"), rows)
    for row in (0, 1):
        assert np.abs(found[row] - rows[row]).max() <= rows[row].max() / 127 / 2 * (1 + 1e-5)


@pytest.mark.parametrize(
    ("shape", "scales"),
    [((3, 384), 3), ((384, 8), 12), ((384,), 2), ((8,), 1), ((5, 100), 2), ((2, 4, 100), 2), ((0, 8), 0), ((1,), 1)],
)
def test_int8_writes_a_byte_a_value_and_four_a_scale(shape, scales):
    array = np.ones(shape, np.float32)
    assert len(written(int8(), array)) == array.size + 4 * scales
    assert len(written(int4(), array)) == (array.size + 1) // 2 + 4 * scales


def test_int4_puts_two_values_in_a_byte_the_first_in_the_lower_half():
    data = written(int4(rounding="nearest"), np.array([7, -7, 3], np.float32))
    scale, packed = np.frombuffer(data[:4], "<f4"), data[4:]
    assert scale == [1.0]
    assert packed == bytes([0x97, 0x03])  # 7, -7 = 0b1001 in two's complement; 3 and nothing


def test_steps_are_whole_multiples_of_the_scale():
    found = there_and_back(int8(rounding="nearest"), np.array([127.0, 2.4, -2.6, 0.5], np.float32))
    np.testing.assert_array_equal(found, [127.0, 2.0, -3.0, 0.0])  # half a step goes to the even one


@pytest.mark.parametrize("name", MAKERS)
def test_stochastic_rounding_is_right_on_average(name):
    array = np.linspace(-1, 1, 200).astype(np.float32)
    times, codec = 4000, MAKERS[name]()
    mean = np.mean([there_and_back(codec, array, seed) for seed in range(times)], axis=0)
    step = 1 / STEPS[name]  # a draw's standard deviation is half a step at most; 200 values at 5 sigma
    assert np.abs(mean - array).max() < 5 * 0.5 * step / np.sqrt(times)


def test_rounding_to_the_nearest_is_not():
    array = np.array([127.0, 0.3], np.float32)
    assert there_and_back(int8(rounding="nearest"), array)[1] == 0.0


def test_the_same_draws_give_the_same_bytes():
    array = draws().normal(size=(5, 300)).astype(np.float32)
    assert written(int8(), array, seed=1) == written(int8(), array, seed=1) != written(int8(), array, seed=2)


@pytest.mark.parametrize("name", [*MAKERS, "fp16"])
def test_zeros_stay_zeros_among_others(name):
    array = np.zeros((4, 300), np.float32)
    array[2] = draws().normal(size=300)
    array[2, ::2] = 0.0
    found = there_and_back((MAKERS | {"fp16": fp16})[name](), array)
    assert np.count_nonzero(found[array == 0]) == 0
    assert np.count_nonzero(found)


def test_values_too_small_for_a_scale_count_as_zero():
    found = there_and_back(int8(), np.array([1e-40, -1e-45], np.float32))
    np.testing.assert_array_equal(found, [0.0, 0.0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_number_spoils_its_scale_and_no_other(name, bad):
    array = np.ones((2, 256), np.float32)
    array[0, 3] = bad
    found = there_and_back(MAKERS[name](), array)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], array[1])


@settings(max_examples=40)
@given(array=hnp.arrays(np.float32, SHAPES, elements=st.floats(-65504, 65504, width=32)))
def test_half_precision_is_right_to_eleven_bits(array):
    found = there_and_back(fp16(), array)
    assert np.all(np.abs(found - array) <= np.abs(array) * 2**-11 + 2**-25)
    assert len(written(fp16(), array)) == 2 * array.size


def test_half_precision_cuts_what_is_out_of_its_range():
    found = there_and_back(fp16(), np.array([1e6, -1e6, np.nan], np.float32))
    np.testing.assert_array_equal(found, [65504.0, -65504.0, np.nan])


def test_half_precision_does_not_hide_that_a_model_diverged():
    found = there_and_back(fp16(), np.array([np.inf, -np.inf, 1.0], np.float32))
    np.testing.assert_array_equal(found, [np.inf, -np.inf, 1.0])


@pytest.mark.parametrize("codec", [int8(), int4(), fp16()])
def test_bytes_that_are_missing_are_noticed(codec):
    data = written(codec, np.ones(9, np.float32))
    with pytest.raises(GarbledError, match="bytes expected"):
        codec.decode(Reader(data[:-1]), (9,), np.empty)


def test_an_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="rounding: 'up' is unknown; accepted: stochastic, nearest"):
        int8(rounding="up")
