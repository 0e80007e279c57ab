"""Shapes worked out from sizes are those of the arrays that are really trained."""

import numpy as np
import pytest
from fedlab.models.peft.shapes import adapter_shapes, whole_shapes

from fedlab.models.peft.bottleneck import initial_arrays
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.peft.whole_blocks import whole_arrays
from fedlab.models.sizes import EncoderSizes


def sizes_of(tiny, network) -> EncoderSizes:
    encoder = network.encoder
    return EncoderSizes(shape=encoder.shape, vocabulary=tiny.vocabulary, positions=len(encoder.positions))


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("depth", [0, 2, 3])
def test_whole_blocks_have_the_shapes_of_the_encoders_arrays_in_their_order(tiny, family, depth):
    network = tiny.network(family)
    head = initial_arrays(
        AdapterConfig(depth=0, width=1), blocks=3, hidden=tiny.hidden, labels=5, generator=np.random.default_rng(0)
    )
    real = whole_arrays(network.encoder, depth, pooler=False) | head
    ours = whole_shapes(sizes_of(tiny, network), depth, labels=5)
    assert list(ours.items()) == [(name, array.shape) for name, array in real.items()]


def test_a_pooler_is_trained_where_the_head_reads_it(tiny):
    network = tiny.network("bert")
    real = whole_arrays(network.encoder, 1, pooler=True)
    ours = whole_shapes(sizes_of(tiny, network), 1, labels=5, pooler=True)
    assert {name: array.shape for name, array in real.items()}.items() < ours.items()


def test_adapters_have_the_shapes_of_the_arrays_that_travel(tiny):
    config = AdapterConfig(depth=2, width=8)
    real = initial_arrays(config, blocks=3, hidden=tiny.hidden, labels=5, generator=np.random.default_rng(0))
    ours = adapter_shapes(sizes_of(tiny, tiny.network()), config, labels=5)
    assert list(ours.items()) == [(name, array.shape) for name, array in real.items()]
