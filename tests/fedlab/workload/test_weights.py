"""Weights are counted from shapes alone, and agree with the published counts to the last one."""

from dataclasses import replace

import pytest

from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from fedlab.workload.weights import Matrix, block_matrices, head_weights, num_weights, stored_blocks


@pytest.mark.parametrize(
    ("family", "count"),
    # as transformers counts the models without a head, BERT's and RoBERTa's without their pooler, ALBERT's as well
    [("bert", 108_891_648), ("distilbert", 66_362_880), ("roberta", 124_055_040), ("albert", 11_092_992)],
)
def test_encoders_have_their_published_numbers_of_weights(family, count):
    assert num_weights(REFERENCE_SHAPES[family]) == count


def test_a_gated_block_has_seven_matrices_and_grouped_queries_make_two_of_them_smaller():
    shape = ModelShape(
        family="llama", blocks=2, hidden=64, intermediate=172, heads=8, kv_heads=4, vocabulary=512, gated=True
    )
    assert block_matrices(shape) == {
        "q": Matrix(64, 64), "k": Matrix(64, 32), "v": Matrix(64, 32), "o": Matrix(64, 64),
        "up": Matrix(64, 172), "down": Matrix(172, 64), "gate": Matrix(64, 172),
    }  # fmt: skip
    assert num_weights(shape) == 512 * 64 + 2 * (12_288 + 33_024 + 128) + 64  # by hand
    assert head_weights(shape) == 0
    assert num_weights(replace(shape, tied=False)) - num_weights(shape) == 512 * 64


def test_alberts_blocks_are_stored_once():
    assert stored_blocks(REFERENCE_SHAPES["albert"], 12) == 1
    assert stored_blocks(REFERENCE_SHAPES["albert"], 0) == 0
    assert stored_blocks(REFERENCE_SHAPES["bert"], 7) == 7
