"""Codec terms survive their JSON form."""

import pytest

from fedlab.messages.codec_terms import CodecTerms


@pytest.mark.parametrize("memory", [None, (), ("int8",)])
def test_terms_are_read_as_they_were_written(memory):
    terms = CodecTerms(
        up=("top-k:0.01", {"name": "int8", "rounding": "nearest"}), down=("int4",), memory=memory, seed=2**62
    )
    assert CodecTerms.from_json(terms.to_json()) == terms
