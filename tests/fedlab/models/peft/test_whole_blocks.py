"""Whole blocks have the shapes of the encoder's own weights, begin with them, and are as many as published."""

from functools import partial

import numpy as np
import pytest

from fedlab.models.base import weights_of
from fedlab.models.families import family_of
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.whole_blocks import Everything, TopBlocks

# Millions of parameters that full fine-tuning (12 blocks) and layer freezing of BERT-base train, by depth, as the
# artifact of FedAdapter rounds them, pooler and head included.
PUBLISHED = [0.6, 7.7, 14.8, 21.9, 29.0, 36.0, 43.1, 50.2, 57.3, 64.4, 71.5, 78.6, 109.5]
HEAD = {"head.weight": (5, 32), "head.bias": (5,)}


def first_model(network, trained, seed=0):
    """Return the arrays that training begins with."""
    return trained.initial(network.sizes(5), np.random.default_rng(seed), partial(weights_of, network.encoder))


def test_the_arrays_of_a_block_are_those_of_the_protocol_in_its_order(tiny):
    shapes = TopBlocks(depth=1).shapes(tiny.network(pooling="pooler").sizes(5))

    assert list(shapes.items()) == [
        ("block.2.attention.in.weight", (96, 32)),
        ("block.2.attention.in.bias", (96,)),
        ("block.2.attention.out.weight", (32, 32)),
        ("block.2.attention.out.bias", (32,)),
        ("block.2.attention.norm.weight", (32,)),
        ("block.2.attention.norm.bias", (32,)),
        ("block.2.feed_forward.in.weight", (48, 32)),
        ("block.2.feed_forward.in.bias", (48,)),
        ("block.2.feed_forward.out.weight", (32, 48)),
        ("block.2.feed_forward.out.bias", (32,)),
        ("block.2.norm.weight", (32,)),
        ("block.2.norm.bias", (32,)),
        ("pooler.weight", (32, 32)),
        ("pooler.bias", (32,)),
        *HEAD.items(),
    ]


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("bert", {"words": (50, 32), "positions": (24, 32), "token_type": (32,)}),
        ("distilbert", {"words": (50, 32), "positions": (24, 32)}),
    ],
)
def test_the_embeddings_come_along_where_all_blocks_are_trained(tiny, family, expected):
    sizes = tiny.network(family).sizes(5)
    some, every = (TopBlocks(depth=depth).shapes(sizes) for depth in (2, 3))

    expected = {f"embedding.{name}": shape for name, shape in expected.items()}
    expected |= {"embedding.norm.weight": (32,), "embedding.norm.bias": (32,)}
    assert {name: shape for name, shape in every.items() if name.startswith("embedding")} == expected
    assert not any(name.startswith("embedding") for name in some)
    assert Everything().shapes(sizes) == every


def test_head_only_training_takes_nothing_of_the_encoder_but_a_pooler_that_the_head_reads(tiny):
    with_pooler = TopBlocks(depth=0).shapes(tiny.network(pooling="pooler").sizes(5))

    assert TopBlocks(depth=0).shapes(tiny.network().sizes(5)) == HEAD
    assert with_pooler == {"pooler.weight": (32, 32), "pooler.bias": (32,), **HEAD}


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("trained", [TopBlocks(depth=0), TopBlocks(depth=2), TopBlocks(depth=3), Everything()])
def test_a_new_model_begins_with_the_encoders_own_weights(tiny, family, trained):
    network = tiny.network(family)
    shapes = trained.shapes(network.sizes(5))

    arrays = first_model(network, trained)

    own = weights_of(network.encoder, list(shapes))
    assert [(name, array.shape) for name, array in arrays.items()] == list(shapes.items())
    assert len(own) == len(shapes) - 2
    assert all(np.array_equal(arrays[name], array) for name, array in own.items())


def test_the_parameters_of_bert_base_are_as_many_as_published():
    encoder = family_of("bert", "the model").sizes({"model_type": "bert"}, "the model")
    sizes = ModelSizes(encoder=encoder, labels=20, pooler=True)

    for depth, millions in enumerate(PUBLISHED):
        count = sum(int(np.prod(shape)) for shape in TopBlocks(depth=depth).shapes(sizes).values())
        assert count / 1e6 == pytest.approx(millions, abs=0.055), depth  # theirs are rounded to 0.1 M
