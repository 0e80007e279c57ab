"""Whole blocks leave an encoder as arrays and come back into it unchanged, and are as many as published."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from fedlab.models.load import encoder_of, encoder_tensors
from fedlab.models.peft.whole_blocks import whole_arrays

# Millions of parameters that full fine-tuning (12 blocks) and layer freezing of BERT-base train, by depth, as the
# artifact of FedAdapter rounds them, pooler and head included.
PUBLISHED = [0.6, 7.7, 14.8, 21.9, 29.0, 36.0, 43.1, 50.2, 57.3, 64.4, 71.5, 78.6, 109.5]


def test_the_arrays_of_a_block_are_those_of_the_protocol_in_its_order(tiny):
    arrays = whole_arrays(tiny.network().encoder, 1, pooler=True)

    assert {name: array.shape for name, array in arrays.items()} == {
        "block.2.attention.in.weight": (96, 32),
        "block.2.attention.in.bias": (96,),
        "block.2.attention.out.weight": (32, 32),
        "block.2.attention.out.bias": (32,),
        "block.2.attention.norm.weight": (32,),
        "block.2.attention.norm.bias": (32,),
        "block.2.feed_forward.in.weight": (48, 32),
        "block.2.feed_forward.in.bias": (48,),
        "block.2.feed_forward.out.weight": (32, 48),
        "block.2.feed_forward.out.bias": (32,),
        "block.2.norm.weight": (32,),
        "block.2.norm.bias": (32,),
        "pooler.weight": (32, 32),
        "pooler.bias": (32,),
    }
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("bert", {"words": (50, 32), "positions": (24, 32), "token_type": (32,)}),
        ("distilbert", {"words": (50, 32), "positions": (24, 32)}),
    ],
)
def test_the_embeddings_come_along_where_all_blocks_are_trained(tiny, family, expected):
    encoder = tiny.network(family).encoder
    some, every = (whole_arrays(encoder, depth, pooler=False) for depth in (2, 3))

    expected = {f"embedding.{name}": shape for name, shape in expected.items()}
    expected |= {"embedding.norm.weight": (32,), "embedding.norm.bias": (32,)}
    assert {name: every[name].shape for name in every if name.startswith("embedding")} == expected
    assert not any(name.startswith("embedding") for name in some)
    assert next(iter(every)) == "embedding.words"


def test_head_only_training_takes_nothing_of_the_encoder(tiny):
    assert whole_arrays(tiny.network().encoder, 0, pooler=False) == {}
    assert list(whole_arrays(tiny.network().encoder, 0, pooler=True)) == ["pooler.weight", "pooler.bias"]


def test_a_depth_the_encoder_does_not_have_is_a_mistake(tiny):
    with pytest.raises(AssertionError, match="depth 4 in an encoder of 3 blocks"):
        whole_arrays(tiny.network().encoder, 4, pooler=False)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_changed_arrays_change_the_weights_they_are_named_for_and_no_others(tiny, family):
    encoder = tiny.network(family).encoder
    arrays = whole_arrays(encoder, 2, pooler=False)
    parameters = {name: torch.from_numpy(array) + 1 for name, array in arrays.items()}

    before, after = encoder_tensors(encoder), encoder_tensors(encoder.with_trained(parameters))

    for name, tensor in before.items():
        moved = 1 if name.startswith(("blocks.1", "blocks.2")) else 0
        torch.testing.assert_close(after[name], tensor + moved)


def test_every_weight_comes_back_where_it_was_taken_from(tiny):
    encoder = tiny.network().encoder
    arrays = whole_arrays(encoder, 3, pooler=True)

    again = encoder_tensors(encoder.with_trained({name: torch.from_numpy(array) for name, array in arrays.items()}))

    assert len(again) == len(arrays)
    assert all(torch.equal(tensor, again[name]) for name, tensor in encoder_tensors(encoder).items())


def test_the_arrays_are_copies(tiny):
    encoder = tiny.network().encoder
    whole_arrays(encoder, 3, pooler=False)["embedding.words"][:] = 9

    assert not (encoder.words == 9).any()


def test_the_parameters_of_bert_base_are_as_many_as_published():
    with torch.device("meta"):  # shapes without numbers
        encoder = encoder_of(BertModel(BertConfig()))
    head = 20 * 768 + 20

    for depth, millions in enumerate(PUBLISHED):
        count = head + sum(weight.numel() for _, weight in encoder.trained_weights(depth, pooler=True))
        assert count / 1e6 == pytest.approx(millions, abs=0.055), depth  # theirs are rounded to 0.1 M
