"""What both sides hold from the start: the backbone's own weights, of the blocks that are trained whole."""

from functools import partial

import numpy as np
import pytest

from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.sparse import skip_zero_rows
from fedlab.codecs.transport.delta import decode_model, encode_model
from fedlab.codecs.transport.reference import reference_arrays
from fedlab.messages.pack import from_record, to_record
from fedlab.models.base import weights_of
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.server.factory import reference_of_node


def first_model(network, trained):
    return trained.initial(network.sizes(2), np.random.default_rng(0), partial(weights_of, network.encoder))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_model_of_whole_blocks_starts_from_the_backbones_own_weights(workbench, hosted, depth):
    network = workbench.network
    model = first_model(network, TopBlocks(depth=depth))
    held = reference_arrays(network, list(model))
    assert set(held) == set(model) - {"head.weight", "head.bias"}
    for name, array in held.items():
        np.testing.assert_array_equal(array, model[name])
    assert set(reference_of_node(hosted(workbench, 2), list(model))) == set(held)


def test_a_part_of_a_block_starts_from_its_own_weights_too(workbench):
    names = ["block.1.norm.bias", "block.0.attention.in.bias", "head.bias"]
    assert list(reference_arrays(workbench.network, names)) == names[:2]


def test_an_untouched_model_takes_next_to_nothing_to_send(workbench):
    encoder = workbench.network.encoder
    model = weights_of(encoder, list(encoder.named_weights())) | {"head.weight": np.ones((2, 4), np.float32)}
    known = partial(reference_arrays, workbench.network)

    pipeline = Pipeline(codecs=(skip_zero_rows(),))
    record = encode_model(to_record(model), known, pipeline, np.random.default_rng(0))
    rows = sum(array.shape[0] if array.ndim > 1 else 1 for array in model.values())
    layout = 60 * len(model)
    assert len(record["fedlab.frame"].data) < rows / 8 + 4 * 8 + layout
    found = from_record(decode_model(record, known, pipeline))
    for name, array in model.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("depth", [0, 2])
def test_adapters_and_heads_count_from_zero(workbench, depth):
    model = first_model(workbench.network, Bottleneck(depth=depth, width=8))
    assert reference_arrays(workbench.network, list(model)) == {}
