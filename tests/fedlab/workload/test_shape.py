"""Shapes say what costs depend on; encoders leave out what tables do not need, and decoders cannot."""

import pytest

from fedlab.errors import UserError
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape

SMOLLM2 = {"family": "llama", "blocks": 30, "hidden": 576, "intermediate": 1536, "heads": 9, "vocabulary": 49_152}


def test_an_encoder_has_heads_of_64_where_its_shape_does_not_say():
    bert = REFERENCE_SHAPES["bert"]
    assert (bert.query_heads, bert.query_size, bert.kv_size, bert.is_decoder) == (12, 768, 768, False)


def test_grouped_queries_share_keys_and_values():
    shape = ModelShape(**SMOLLM2, kv_heads=3)
    assert (shape.query_heads, shape.query_size, shape.kv_size, shape.is_decoder) == (9, 576, 192, True)
    assert ModelShape(**SMOLLM2).kv_size == 576
    assert ModelShape(**SMOLLM2, kv_heads=3, head_size=128).query_size == 9 * 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_heads": 2}, "kv_heads is 2, expected a divisor of the 9 heads"),
        ({"kv_heads": -1}, "kv_heads is -1, expected a whole number"),
        ({"vocabulary": 2.5}, "vocabulary is 2.5, expected a whole number"),
    ],
)
def test_a_decoder_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        ModelShape(**SMOLLM2 | changes)
