"""Weights leave an encoder as arrays and come back into it unchanged."""

import numpy as np
import pytest
import torch

from fedlab.models.base import weights_of
from fedlab.models.load import encoder_tensors
from fedlab.models.peft.whole_blocks import block_names


def every_weight(encoder):
    return weights_of(encoder, list(encoder.named_weights()))


def test_weights_are_named_from_the_embeddings_up(tiny):
    names = list(tiny.network().encoder.named_weights())

    blocks = [name for block in range(3) for name in block_names(block).values()]
    assert names[:2] == ["embedding.words", "embedding.positions"]
    assert names[5:-2] == blocks
    assert names[-2:] == ["pooler.weight", "pooler.bias"]


def test_weights_an_encoder_does_not_have_have_no_name(tiny):
    names = tiny.network("distilbert").encoder.named_weights()

    assert not {"embedding.token_type", "pooler.weight", "pooler.bias"} & set(names)


def test_only_the_named_arrays_that_are_weights_are_returned_in_their_order(tiny):
    encoder = tiny.network().encoder

    found = weights_of(encoder, ["block.2.norm.bias", "head.weight", "block.2.down.weight", "embedding.words"])

    assert list(found) == ["block.2.norm.bias", "embedding.words"]
    np.testing.assert_array_equal(found["block.2.norm.bias"], encoder.blocks[2].norm_bias)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_changed_arrays_change_the_weights_they_are_named_for_and_no_others(tiny, family):
    encoder = tiny.network(family).encoder
    names = [name for block in (1, 2) for name in block_names(block).values()]
    parameters = {name: torch.from_numpy(array) + 1 for name, array in weights_of(encoder, names).items()}

    before, after = encoder_tensors(encoder), encoder_tensors(encoder.with_trained(parameters))

    for name, tensor in before.items():
        moved = 1 if name.startswith(("blocks.1", "blocks.2")) else 0
        torch.testing.assert_close(after[name], tensor + moved)


def test_a_part_of_a_block_can_be_replaced(tiny):
    encoder = tiny.network().encoder

    changed = encoder.with_trained({"block.1.norm.bias": torch.full((32,), 7.0)})

    assert (changed.blocks[1].norm_bias == 7).all()
    assert changed.blocks[1].norm_weight is encoder.blocks[1].norm_weight
    assert changed.blocks[0] is encoder.blocks[0]


def test_every_weight_comes_back_where_it_was_taken_from(tiny):
    encoder = tiny.network().encoder
    parameters = {name: torch.from_numpy(array) for name, array in every_weight(encoder).items()}

    again = encoder_tensors(encoder.with_trained(parameters))

    assert len(again) == len(parameters)
    assert all(torch.equal(tensor, again[name]) for name, tensor in encoder_tensors(encoder).items())


def test_the_arrays_are_copies_in_float32(tiny):
    encoder = tiny.network().encoder
    arrays = every_weight(encoder)
    arrays["embedding.words"][:] = 9

    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert not (encoder.words == 9).any()
