"""Operators of small models, counted by hand."""

import pytest

from fedlab.devices.costmodel.operators import Operator, operators_of
from fedlab.workload.passes import NOTHING, WHOLE, lora
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import forward_passes, steps_of, training_passes

ENCODER = ModelShape(family="bert", blocks=3, hidden=64, intermediate=128, heads=1)
DECODER = ModelShape(
    family="llama", blocks=3, hidden=64, intermediate=100, heads=4, kv_heads=2, vocabulary=500, gated=True
)
BATCH = {"batch_size": 2, "input_shape": (8,)}
TOKENS = 16
PRODUCTS = 2 * TOKENS * (4 * 64 * 64 + 2 * 64 * 128)  # of a block of the encoder
ATTENTION = 2 * (2 * TOKENS * 8 * 64)


def operations(shape: ModelShape, **changes) -> float:
    """Return the operations of products, those of a forward pass or of training."""
    return sum(each.operations * each.count for each in products(shape, **changes))


def products(shape: ModelShape, depth=None, trained=NOTHING, **changes) -> list[Operator]:
    batch = {"batches": 1, "model_blocks": shape.blocks, **BATCH, **changes}
    passes = forward_passes(**batch) if depth is None else training_passes(depth=depth, trained=trained, **batch)
    # Operators without products touch each value a few times: an operation for every 4 bytes of fp32.
    return [each for each in operators_of(steps_of(passes)[0], shape) if each.operations * 4 != each.num_bytes]


def test_a_forward_pass_runs_the_products_of_every_block():
    assert operations(ENCODER) == 3 * (PRODUCTS + ATTENTION)


def test_training_whole_blocks_runs_their_products_three_times_and_attention_in_them_three_times():
    assert operations(ENCODER, depth=2, trained=WHOLE) == 3 * (PRODUCTS + ATTENTION) + 2 * 2 * (PRODUCTS + ATTENTION)


def test_frozen_weights_need_no_gradient_of_their_own():
    assert operations(ENCODER, depth=2, trained=NOTHING) == 3 * (PRODUCTS + ATTENTION) + 2 * (PRODUCTS + 2 * ATTENTION)


def test_stored_activations_leave_out_the_blocks_below():
    cached = operations(ENCODER, depth=2, trained=WHOLE, cached_batches=1)
    assert cached == 2 * 3 * (PRODUCTS + ATTENTION)


def test_checkpointing_runs_the_trained_blocks_forward_once_more():
    plain, saved = (operations(ENCODER, depth=2, trained=WHOLE, checkpointing=value) for value in (False, True))
    assert saved - plain == 2 * (PRODUCTS + ATTENTION)


def test_pairs_of_lora_run_once_forward_and_twice_backward():
    pair = 2 * TOKENS * (64 * 4 + 4 * 64)
    added = operations(ENCODER, depth=2, trained=lora(4, ["q"])) - operations(ENCODER, depth=2, trained=NOTHING)
    assert added == 2 * 3 * pair


def test_grouped_queries_a_gate_and_the_words_of_a_decoder():
    block = 2 * TOKENS * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 100)
    attention = 2 * (2 * TOKENS * 8 * 64)
    assert operations(DECODER) == 3 * (block + attention) + 2 * TOKENS * 64 * 500


@pytest.mark.parametrize("scored", [0, 1, 8])
def test_a_head_has_logits_for_the_scored_tokens_alone(scored):
    none = operations(DECODER, scored_tokens=0)
    assert operations(DECODER, scored_tokens=scored) - none == 2 * (2 * scored) * 64 * 500


def test_smaller_formats_move_fewer_bytes():
    moved = [
        sum(each.num_bytes * each.count for each in products(DECODER, format=name))
        for name in ("fp32", "fp16", "int8", "int4")
    ]
    assert moved == sorted(moved, reverse=True)
