"""Error feedback: what is decoded over many rounds adds up to what was meant, whatever a round loses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.codecs.feedback import encode_with_feedback, fitted
from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.quantiser import int4, int8
from fedlab.codecs.sparse import skip_zero_rows, top_k

SHAPES = {"w": (40, 64), "b": (64,)}
LOSSY = {
    "int4": (int4(),),
    "int4, nearest": (int4(rounding="nearest"),),
    "top-k": (top_k(share=0.1),),
    "top-k, int8": (top_k(share=0.1), int8()),
}
MEMORIES = {"exact": (), "int8": (skip_zero_rows(), int8()), "int4": (skip_zero_rows(), int4())}


def updates(rounds, seed=0):
    """Return updates that drift one way, as training does, with noise; some rows never change."""
    draws = np.random.default_rng(seed)
    drift = {name: draws.normal(size=shape) for name, shape in SHAPES.items()}
    made = []
    for _ in range(rounds):
        update = {name: (drift[name] + draws.normal(size=shape)).astype(np.float32) for name, shape in SHAPES.items()}
        update["w"][::4] = 0.0
        made.append(update)
    return made


def run(sent, pipeline, memory, *, feedback=True):
    """Return the sum of what is decoded and the sum of what was meant."""
    draws, residual = np.random.default_rng(1), {}
    decoded = {name: np.zeros(shape, np.float64) for name, shape in SHAPES.items()}
    for update in sent:
        fed = encode_with_feedback(update, residual, pipeline, draws)
        for name, array in pipeline.decode(fed.payload, SHAPES).items():
            decoded[name] += array
        kept = memory.decode(memory.encode(fed.residual, draws), SHAPES)
        residual = kept if feedback else {}
    meant = {name: sum(update[name].astype(np.float64) for update in sent) for name in SHAPES}
    return decoded, meant


def error(decoded, meant):
    """Return the relative distance over all arrays."""
    off = sum(np.square(decoded[name] - meant[name]).sum() for name in meant)
    return float(np.sqrt(off / sum(np.square(meant[name]).sum() for name in meant)))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("name", LOSSY)
def test_the_sum_of_what_is_decoded_tracks_the_sum_of_what_was_meant(name, memory):
    pipeline, kept = Pipeline(codecs=LOSSY[name]), Pipeline(codecs=MEMORIES[memory])
    sent = updates(60)
    early, late = (error(*run(sent[:rounds], pipeline, kept)) for rounds in (6, 60))
    without = error(*run(sent, pipeline, kept, feedback=False))
    assert late < 0.4 * early, "the error stays while the sum grows"
    assert late < 0.5 * without


@given(seed=st.integers(0, 1000))
def test_what_is_decoded_and_what_is_kept_are_what_was_meant_and_what_was_kept_before(seed):
    update, before = updates(2, seed)
    pipeline = Pipeline(codecs=(top_k(share=0.1), int8()))
    fed = encode_with_feedback(update, before, pipeline, np.random.default_rng(seed))
    decoded = pipeline.decode(fed.payload, SHAPES)
    for name in SHAPES:
        np.testing.assert_allclose(decoded[name] + fed.residual[name], update[name] + before[name], atol=1e-5)


def test_without_loss_nothing_is_left():
    (update,) = updates(1)
    fed = encode_with_feedback(update, {}, Pipeline(), np.random.default_rng(0))
    assert all(np.count_nonzero(array) == 0 for array in fed.residual.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_diverged_leaves_no_residual_in_its_array(bad):
    (update,) = updates(1)
    update["w"][3, 4] = bad
    fed = encode_with_feedback(update, {}, Pipeline(codecs=(int4(),)), np.random.default_rng(0))
    assert list(fed.residual) == ["b"]


def test_a_residual_is_padded_where_its_array_grew_and_dropped_where_it_shrank():
    residual = np.array([[1.0, 2.0]], np.float32)
    np.testing.assert_array_equal(fitted(residual, (2, 3)), [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(fitted(residual, (1, 2)), residual)
    for other in ((1, 1), (2,), (1, 2, 1), (2, 1)):
        assert fitted(residual, other) == 0
    assert fitted(None, (2, 3)) == 0


def test_the_residual_of_an_array_that_is_no_longer_trained_is_forgotten():
    update, before = updates(2)
    del update["b"]
    fed = encode_with_feedback(update, before, Pipeline(codecs=(int4(),)), np.random.default_rng(0))
    assert list(fed.residual) == ["w"]
