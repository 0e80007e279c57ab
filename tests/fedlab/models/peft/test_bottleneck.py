import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.models.peft.bottleneck import (
    Bottleneck,
    adapted_blocks,
    array_shapes,
    count_parameters,
    initial_arrays,
    merge,
)

DEPTHS, WIDTHS = st.integers(0, 3), st.integers(1, 12)
FEW = settings(derandomize=True, max_examples=40)


def config(depth, width):
    return Bottleneck(depth=depth, width=width)


def grown(tiny, arrays, depth, width):
    """Return the arrays grown, with their new set."""
    to = config(depth, width)
    new = arrays.trained.grow(arrays, to, sizes=tiny.network().sizes(tiny.labels), generator=np.random.default_rng(9))
    return type(arrays)(to, new)


def test_the_arrays_are_those_of_the_protocol_in_its_order():
    shapes = array_shapes(config(2, 8), blocks=4, hidden=32, labels=5)

    assert list(shapes.items()) == [
        ("block.2.down.weight", (8, 32)),
        ("block.2.down.bias", (8,)),
        ("block.2.up.weight", (32, 8)),
        ("block.2.up.bias", (32,)),
        ("block.3.down.weight", (8, 32)),
        ("block.3.down.bias", (8,)),
        ("block.3.up.weight", (32, 8)),
        ("block.3.up.bias", (32,)),
        ("head.weight", (5, 32)),
        ("head.bias", (5,)),
    ]


def test_at_depth_0_the_head_alone_travels():
    assert list(array_shapes(config(0, 8), blocks=4, hidden=32, labels=5)) == ["head.weight", "head.bias"]


def test_adapters_sit_in_the_top_blocks():
    assert list(adapted_blocks(config(3, 8), 12)) == [9, 10, 11]
    assert list(adapted_blocks(config(0, 8), 12)) == []
    with pytest.raises(UserError, match="the set 'bottleneck': depth 13, but the encoder has 12 blocks"):
        adapted_blocks(config(13, 8), 12)


@pytest.mark.parametrize(("depth", "width"), [(-1, 8), (2, 0), (2.0, 8), (2, "8"), (True, 8)])
def test_a_depth_or_width_that_cannot_be_is_refused(depth, width):
    with pytest.raises(ValueError, match="expected a whole number from"):
        config(depth, width)


def test_the_head_alone_keeps_the_width_of_the_first_adapters():
    assert config(0, 8).configuration == {"set": "bottleneck", "depth": 0, "width": 8}
    assert config(0, 8) != config(0, 16)


def test_a_new_model_is_drawn_as_bert_draws_its_weights():
    arrays = initial_arrays(config(1, 64), blocks=2, hidden=256, labels=20, generator=np.random.default_rng(0))

    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert not arrays["block.1.up.weight"].any()
    assert not any(array.any() for name, array in arrays.items() if name.endswith("bias"))
    assert arrays["block.1.down.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert arrays["head.weight"].std() == pytest.approx(0.02, rel=0.05)


def test_new_adapters_change_nothing_until_they_are_trained(tiny):
    ids, lengths = tiny.texts([6, 3])
    head = tiny.trained(0, 8)
    with_adapters = grown(tiny, head, 3, 8)

    with_adapters, without = (tiny.logits(tiny.network(), ids, lengths, each) for each in (with_adapters, head))

    np.testing.assert_allclose(with_adapters, without, atol=1e-6)


@given(
    depth=DEPTHS,
    width=WIDTHS,
    deeper=st.integers(0, 3),
    wider=st.integers(0, 8),
    family=st.sampled_from(["bert", "distilbert"]),
    kind=st.sampled_from(["classification", "tagging"]),
    seed=st.integers(0, 99),
)
@FEW
def test_growing_deeper_and_wider_keeps_the_function(tiny, depth, width, deeper, wider, family, kind, seed):
    ids, lengths = tiny.texts([7, 4, 2], seed)
    network, old = tiny.network(family, kind), tiny.trained(depth, width, seed)

    new = grown(tiny, old, min(depth + deeper, tiny.blocks), width + wider)

    before, after = (tiny.logits(network, ids, lengths, each) for each in (old, new))
    for row, length in enumerate([7, 4, 2] if kind == "tagging" else [5, 5, 5]):
        np.testing.assert_allclose(after[row, :length], before[row, :length], atol=1e-6, rtol=0)


@given(
    depth=DEPTHS,
    width=WIDTHS,
    wider=st.integers(1, 8),
    kind=st.sampled_from(["classification", "tagging"]),
    seed=st.integers(0, 99),
)
@FEW
def test_growing_step_by_step_keeps_the_function_too(tiny, depth, width, wider, kind, seed):
    ids, lengths = tiny.texts([7, 7, 7], seed)
    network, old = tiny.network(kind=kind), tiny.trained(depth, width, seed)

    deep = grown(tiny, old, tiny.blocks, width)
    both = grown(tiny, deep, tiny.blocks, width + wider)

    before, after = (tiny.logits(network, ids, lengths, each) for each in (old, both))
    np.testing.assert_allclose(after, before, atol=1e-6, rtol=0)


@given(depth=DEPTHS, width=WIDTHS, seed=st.integers(0, 99))
@FEW
def test_growing_to_the_same_configuration_changes_no_bit(tiny, depth, width, seed):
    old = tiny.trained(depth, width, seed)

    new = grown(tiny, old, depth, width)

    assert list(new) == list(old)
    assert all(np.array_equal(array, old[name]) for name, array in new.items())


@given(depth=DEPTHS, width=WIDTHS, deeper=st.integers(0, 3), wider=st.integers(0, 8))
@FEW
def test_growing_gives_the_shapes_of_the_new_configuration_and_carries_old_weights_over(
    tiny, depth, width, deeper, wider
):
    old, to = tiny.trained(depth, width), config(min(depth + deeper, tiny.blocks), width + wider)

    new = grown(tiny, old, to.depth, to.width)

    assert {name: array.shape for name, array in new.items()} == array_shapes(
        to, blocks=tiny.blocks, hidden=tiny.hidden, labels=tiny.labels
    )
    for name, array in old.items():
        np.testing.assert_array_equal(new[name][tuple(map(slice, array.shape))], array)


def test_new_units_and_new_adapters_can_learn(tiny):
    new = grown(tiny, tiny.trained(1, 8), 2, 16)

    assert (new["block.2.down.weight"][8:] != 0).all()  # random: were they zero as well, no gradient would reach them
    assert (new["block.1.down.weight"] != 0).all()
    assert not new["block.2.up.weight"][:, 8:].any()
    assert not new["block.1.up.weight"].any()


def test_growing_leaves_the_old_arrays_alone(tiny):
    old = tiny.trained(1, 4)
    new = grown(tiny, old, 1, 4)
    new["head.weight"][:] = 0

    assert old["head.weight"].all()


def test_the_first_adapters_have_the_width_that_is_asked_for(tiny):
    new = grown(tiny, tiny.trained(0, 1), 2, 8)

    assert {new[f"block.{block}.down.weight"].shape for block in (1, 2)} == {(8, tiny.hidden)}


@pytest.mark.parametrize(("depth", "width"), [(1, 8), (2, 7), (0, 64)])
def test_shrinking_is_refused(tiny, depth, width):
    with pytest.raises(AssertionError, match="cannot shrink"):
        grown(tiny, tiny.trained(2, 8), depth, width)


def test_merging_averages_what_models_share_and_leaves_the_rest(tiny):
    base = tiny.trained(1, 2)
    wide, deep = (grown(tiny, base, *to) for to in ((1, 3), (2, 2)))
    ones = {name: np.ones_like(array) for name, array in wide.items()}
    threes = {name: np.full_like(array, 3.0) for name, array in deep.items()}
    merged = merge(ones, 1.0, [(threes, 3.0)])
    top = tiny.blocks - 1
    assert {name: array.shape for name, array in merged.items()} == {name: a.shape for name, a in wide.items()}
    np.testing.assert_allclose(merged["head.weight"], 2.5)  # (1 x 1 + 3 x 3) / 4
    np.testing.assert_allclose(merged[f"block.{top}.down.weight"][:2], 2.5)
    np.testing.assert_allclose(merged[f"block.{top}.down.weight"][2:], 1.0)
    np.testing.assert_allclose(merged[f"block.{top}.up.weight"][:, :2], 2.5)
    np.testing.assert_allclose(merged[f"block.{top}.up.weight"][:, 2:], 1.0)
    deeper = merge(threes, 3.0, [(ones, 1.0)])
    np.testing.assert_allclose(deeper[f"block.{top - 1}.down.weight"], 3.0)
    np.testing.assert_allclose(deeper[f"block.{top}.down.weight"], 2.5)


def test_merging_a_model_with_itself_and_with_what_weighs_nothing_changes_nothing(tiny):
    arrays = tiny.trained(2, 4)
    other = {name: array + 1 for name, array in arrays.items()}
    for name, array in merge(arrays, 2.0, [(arrays, 5.0), (other, 0.0)]).items():
        np.testing.assert_allclose(array, arrays[name], rtol=1e-6)
        assert array.dtype == np.float32


def test_the_parameters_of_adapters_and_head_are_counted_by_hand():
    # An adapter: 2 x 4 down, 2, 4 x 2 up, 4; the head: 3 x 4 and 3.
    assert count_parameters(config(1, 2), blocks=2, hidden=4, labels=3) == 22 + 15
    assert count_parameters(config(0, 2), blocks=2, hidden=4, labels=3) == 15


@pytest.mark.parametrize(
    ("name", "blocks", "trained_millions", "published_millions", "within"),
    [("BertModel", 12, 0.61, 110.01, 0.001), ("DistilBertModel", 6, 0.32, 67, 0.005)],
)
def test_parameter_counts_are_the_published_ones(name, blocks, trained_millions, published_millions, within):
    with torch.device("meta"):  # shapes without numbers
        model = getattr(transformers, name)(getattr(transformers, name.replace("Model", "Config"))())
    trained = count_parameters(config(blocks, 32), blocks=blocks, hidden=768, labels=20)
    whole = trained + model.num_parameters()

    assert round(trained / 1e6, 2) == trained_millions
    assert whole / 1e6 == pytest.approx(published_millions, rel=within)
