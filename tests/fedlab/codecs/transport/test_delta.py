"""Array records: models and updates go in and come out, with what cannot be encoded beside them."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedlab.codecs.codec import GarbledError
from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.quantiser import int4, int8
from fedlab.codecs.sparse import skip_zero_rows
from fedlab.codecs.transport.delta import (
    decode_model,
    decode_residual,
    decode_update,
    encode_model,
    encode_residual,
    encode_update,
    floats,
    is_encoded,
)
from fedlab.codecs.transport.reference import nothing
from fedlab.messages.pack import to_record

NAMES = st.text(max_size=6)
MODELS = st.dictionaries(
    NAMES,
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0), elements=st.integers(-99, 99)),
    max_size=4,
)


def draws():
    return np.random.default_rng(0)


def record_of(**arrays):
    return to_record({name: np.asarray(array, np.float32) for name, array in arrays.items()})


def numbers(record):
    return {name: array.numpy().tolist() for name, array in record.items()}


def trained_and_back(sent, trained, *codecs):
    pipeline = Pipeline(codecs=codecs)
    encoded, _ = encode_update(trained, floats(sent), None, pipeline, draws())
    return decode_update(encoded, floats(sent), pipeline)


@settings(max_examples=50)
@given(sent=MODELS, trained=MODELS)
def test_whatever_a_client_sends_back_arrives_in_its_order(sent, trained):
    given, received = to_record(sent), ArrayRecord({name: Array(array) for name, array in trained.items()})
    found = trained_and_back(given, received)
    assert list(found) == list(trained)
    for name, array in trained.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
        assert found[name].numpy().shape == array.shape


def test_the_difference_is_what_is_quantised():
    sent, trained = record_of(x=[1000.0, 2000.0]), record_of(x=[1127.0, 2000.5])
    found = trained_and_back(sent, trained, int8(rounding="nearest"))
    assert numbers(found) == {"x": [1127.0, 2000.0]}  # a step is 1, and not 2000 / 127


def test_names_and_shapes_travel_only_if_they_are_not_those_that_were_sent():
    sent = record_of(**{f"array {number}": [1.0] for number in range(50)})
    alike, _ = encode_update(sent, floats(sent), None, Pipeline(), draws())
    fewer = ArrayRecord(dict(list(sent.items())[1:]))
    other, _ = encode_update(fewer, floats(sent), None, Pipeline(), draws())
    (frame,), (longer,) = alike.values(), other.values()
    assert frame.shape == (4 + 50 * 4,)
    assert longer.shape[0] > 50 * 10
    assert is_encoded(alike)
    assert not is_encoded(sent)


def test_arrays_of_other_kinds_travel_beside_the_frame():
    steps = Array(np.array([7, 8], np.int64))
    sent = ArrayRecord({"steps": steps, **record_of(x=[1.0])})
    encoded, _ = encode_update(sent, floats(sent), None, Pipeline(), draws())
    assert encoded["steps"] == steps
    found = decode_update(encoded, floats(sent), Pipeline())
    assert numbers(found) == {"steps": [7, 8], "x": [1.0]}
    assert list(found) == ["steps", "x"]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint16, np.int8])
def test_a_codec_encodes_float32_and_other_dtypes_travel_as_they_are(dtype):
    other = Array(np.array([1, 2], dtype))
    sent = ArrayRecord({"other": other, **record_of(x=[100.0, 0.5])})
    pipeline = Pipeline(codecs=(int8(rounding="nearest"),))
    encoded = encode_model(sent, nothing, pipeline, draws())
    found = decode_model(encoded, nothing, pipeline)
    assert encoded["other"] == found["other"] == other
    assert (found["x"].dtype, found["x"].numpy()[0]) == ("float32", 100.0)
    assert found["x"].numpy()[1] != 0.5


def test_a_model_is_sent_as_its_difference_to_the_reference():
    reference = {"x": np.array([[500.0], [600.0]], np.float32), "y": np.zeros(7, np.float32)}
    asked = []

    def known(names):
        asked.append(names)
        return reference

    model = record_of(x=[[500.0], [627.0]], y=[1.0, 0.0], z=[-3.0])
    pipeline = Pipeline(codecs=(skip_zero_rows(), int8(rounding="nearest")))
    found = decode_model(encode_model(model, known, pipeline, draws()), known, pipeline)
    assert numbers(found) == {"x": [[500.0], [627.0]], "y": [1.0, 0.0], "z": [-3.0]}
    assert asked == [["x", "y", "z"]] * 2


def test_a_residual_is_what_the_next_update_gets():
    sent = record_of(x=[0.0, 0.0])
    pipeline = Pipeline(codecs=(int4(rounding="nearest"),))
    first, left = encode_update(record_of(x=[7.0, 0.4]), floats(sent), {}, pipeline, draws())
    second, _ = encode_update(record_of(x=[7.0, 0.4]), floats(sent), left, pipeline, draws())
    assert numbers(decode_update(first, floats(sent), pipeline)) == {"x": [7.0, 0.0]}
    assert numbers(decode_update(second, floats(sent), pipeline)) == {"x": [7.0, 1.0]}  # 0.8 is nearer to 1


def test_a_residual_is_kept_as_small_as_its_pipeline_makes_it():
    residual = {"w": np.zeros((300, 256), np.float32), "b": np.ones(3, np.float32)}
    residual["w"][7] = 0.5
    memory = Pipeline(codecs=(skip_zero_rows(), int8()))
    kept = encode_residual(residual, memory, draws())
    assert len(kept.data) < 128 + 60 + 300 / 8 + 256 + 4 + 1 + 3 + 4
    found = decode_residual(kept, memory)
    for name, array in residual.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"x": [1.0], "y": [1.0]}, "bytes expected"),
        ({}, "bytes too many"),
        ({"x": [1.0, 2.0]}, "bytes expected"),
    ],
)
def test_an_update_of_another_model_is_refused(sent, message):
    encoded, _ = encode_update(record_of(x=[1.0]), {"x": np.zeros(1, np.float32)}, None, Pipeline(), draws())
    with pytest.raises(GarbledError, match=message):
        decode_update(encoded, floats(record_of(**sent)), Pipeline())


def test_an_update_that_names_what_was_not_sent_is_refused():
    base = {"x": np.zeros(1, np.float32), "y": np.zeros(1, np.float32)}
    encoded, _ = encode_update(record_of(x=[1.0]), base, None, Pipeline(), draws())
    with pytest.raises(GarbledError, match=r"no array 'x' of shape \[1\] was sent"):
        decode_update(encoded, {"z": np.zeros(1, np.float32)}, Pipeline())


def test_an_array_that_should_lie_beside_the_frame_and_does_not_is_noticed():
    sent = ArrayRecord({"steps": Array(np.array([7])), **record_of(x=[1.0])})
    encoded, _ = encode_update(sent, floats(sent), None, Pipeline(), draws())
    del encoded["steps"]
    with pytest.raises(GarbledError, match="array 'steps' is missing"):
        decode_update(encoded, floats(sent), Pipeline())


@pytest.mark.filterwarnings("error")
def test_an_update_that_diverged_arrives_as_no_numbers():
    found = trained_and_back(record_of(x=[1.0]), record_of(x=[np.inf]), int8())
    assert np.isnan(found["x"].numpy()).all()
