"""Exact rules count real parameters in real messages, and charge the cache's first pass."""

from pathlib import Path

import pytest

from fedlab.codecs.spec import build_pipeline
from fedlab.config.schema import BackboneTable
from fedlab.estimate.exact import exact_rules, traffic_of, trained_shapes
from fedlab.estimate.wire import TOLERANCE_BYTES, num_parameters
from fedlab.models.sizes import read_sizes

BERT, DISTILBERT = (read_sizes(BackboneTable(name=name), resolve=Path) for name in ("bert-base", "distilbert-base"))
HEAD = 20 * 768 + 20
BLOCK = 12 * 768**2 + 13 * 768  # 4 H^2 + 2 H I weights with I = 4 H, and biases and norms of 13 H


def count(method, depth, width=8, sizes=BERT, **changes):
    return num_parameters(trained_shapes(method, sizes, 20, **changes)(depth, width))


@pytest.mark.parametrize("method", ["adapter", "adapter-nocache"])
def test_adapters_have_two_projections_and_their_biases(method):
    assert count(method, 0) == HEAD
    assert count(method, 3, 24) == HEAD + 3 * (2 * 768 * 24 + 24 + 768)


def test_bert_with_adapters_of_width_32_in_every_block_is_the_published_0_61_million():
    assert count("adapter", 12, 32) == 614_804
    assert count("adapter", 6, 32, DISTILBERT) == 315_092


def test_whole_blocks_are_all_their_weights():
    assert count("freeze", 2) == HEAD + 2 * BLOCK
    assert count("freeze", 2, pooler=True) == HEAD + 2 * BLOCK + 768**2 + 768


def test_all_blocks_bring_the_embeddings():
    words, positions, norm = 30522 * 768, 512 * 768, 2 * 768
    assert count("full", 12) == HEAD + 12 * BLOCK + words + positions + 768 + norm == 108_906_260
    assert count("full", 6, sizes=DISTILBERT) == HEAD + 6 * BLOCK + words + positions + norm


def test_messages_are_the_parameters_and_headers():
    moved = exact_rules("adapter", BERT, labels=20, codec="none").traffic(2, 16)
    parameters = 4 * count("adapter", 2, 16)
    headers = 10 * 260  # ten arrays of some 200 bytes of names, shapes and NumPy's own
    assert parameters < moved.bytes_down < parameters + headers
    assert abs(moved.bytes_up - moved.bytes_down) < 2 * TOLERANCE_BYTES + 50


@pytest.mark.parametrize(("codec", "bytes_a_parameter"), [("int8", 1), ("int4", 0.5)])
def test_codecs_encode_both_ways(codec, bytes_a_parameter):
    moved = exact_rules("freeze", BERT, labels=20, codec=codec).traffic(1, 8)
    parameters = count("freeze", 1)
    assert parameters * bytes_a_parameter < moved.bytes_up < moved.bytes_down < parameters * bytes_a_parameter * 1.02


def test_only_the_direction_with_a_codec_is_encoded():
    shapes, int8 = trained_shapes("adapter", BERT, 20), build_pipeline(["int8"], "codec.up", Path())
    plain, up = traffic_of(shapes, None, None)(2, 32), traffic_of(shapes, None, int8)(2, 32)
    assert up.bytes_down == plain.bytes_down
    assert up.bytes_up < 0.3 * plain.bytes_up


def test_the_first_pass_is_charged_and_widths_are_their_own():
    rules = exact_rules("adapter", BERT, labels=20, codec="none")
    assert rules.fills_cache
    assert rules.latency_width is None
