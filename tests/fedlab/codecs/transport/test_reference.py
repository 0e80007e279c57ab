"""What both sides hold from the start: the backbone's own weights, of the blocks that are trained whole."""

import numpy as np
import pytest

from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.sparse import skip_zero_rows
from fedlab.codecs.transport.delta import decode_model, encode_model
from fedlab.codecs.transport.reference import reference_arrays
from fedlab.messages.pack import from_record, to_record
from fedlab.models.peft.bottleneck import array_shapes
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.peft.whole_blocks import whole_arrays
from fedlab.server.factory import reference_of_node


@pytest.mark.parametrize("depth", [1, 2])
def test_a_model_of_whole_blocks_starts_from_the_backbones_own_weights(workbench, hosted, depth):
    network = workbench.network
    model = whole_arrays(network.encoder, depth, pooler=False) | {"head.weight": np.ones((2, 4), np.float32)}
    held = reference_arrays(network, list(model))
    assert set(held) == set(model) - {"head.weight"}
    for name, array in held.items():
        np.testing.assert_array_equal(array, model[name])
    assert set(reference_of_node(hosted(workbench, 2), list(model))) == set(held)


def test_an_untouched_model_takes_next_to_nothing_to_send(workbench):
    network = workbench.network
    model = whole_arrays(network.encoder, 2, pooler=True) | {"head.weight": np.ones((2, 4), np.float32)}

    def known(names):
        return reference_arrays(network, names)

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
    names = array_shapes(AdapterConfig(depth=depth, width=8), blocks=2, hidden=128, labels=2)
    assert reference_arrays(workbench.network, list(names)) == {}
