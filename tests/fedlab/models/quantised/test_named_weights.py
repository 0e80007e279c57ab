"""Which weights are quantised, and that a quantised backbone survives the way through plain tensors and files."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from fedlab.models.load import encoder_from_tensors, encoder_of, encoder_sizes, encoder_tensors, stored_weights
from fedlab.models.quantised.base import QuantisedMatrix
from fedlab.models.quantised.named_weights import QUANTISED, from_parts, in_parts, is_quantised_in, precision_of

PRECISIONS = pytest.mark.parametrize("precision", ["int8", "int4"])
FAMILIES = pytest.mark.parametrize("family", ["bert", "distilbert", "llama"])


@pytest.fixture(scope="module")
def models(tiny):
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 27}
    llama = LlamaConfig(vocab_size=50, num_hidden_layers=2, max_position_embeddings=24, attention_bias=True, **sizes)
    return {**tiny.models, "llama": LlamaForCausalLM(llama).eval()}


@pytest.mark.parametrize(
    ("name", "dimensions", "expected"),
    [
        ("blocks.0.up_weight", 2, True),
        ("blocks.11.norm_weight", 1, False),
        ("blocks.0.up_bias", 1, False),
        ("words", 2, False),
        ("pooler_weight", 2, False),
        ("lm_head", 2, False),
    ],
)
def test_the_matrices_of_blocks_are_quantised_and_nothing_else(name, dimensions, expected):
    assert is_quantised_in("int8", name, dimensions) == is_quantised_in("int4", name, dimensions) == expected
    assert not is_quantised_in("fp32", name, dimensions)
    assert not is_quantised_in("bf16", name, dimensions)


@PRECISIONS
@FAMILIES
def test_only_the_matrices_of_a_backbones_blocks_are_quantised(models, family, precision):
    backbone, published = encoder_of(models[family], precision), encoder_of(models[family])

    found, exact = backbone.tensors(), published.tensors()

    quantised = {name for name, weight in found.items() if isinstance(weight, QuantisedMatrix)}
    assert quantised == {name for name in exact if name.startswith("blocks.") and exact[name].dim() == 2}
    assert {type(found[name]) for name in quantised} == {QUANTISED[precision]}
    floats = torch.float32 if precision == "int8" else torch.bfloat16
    assert all(torch.equal(found[name], exact[name].to(floats)) for name in exact.keys() - quantised)
    assert (backbone.precision, backbone.dtype) == (precision, floats)


@PRECISIONS
@FAMILIES
def test_a_quantised_backbone_survives_the_way_through_plain_tensors(models, family, precision):
    backbone = encoder_of(models[family], precision)

    plain = encoder_tensors(backbone)
    back = encoder_from_tensors(plain, encoder_sizes(backbone))

    assert all(isinstance(tensor, torch.Tensor) for tensor in plain.values())
    again = encoder_tensors(back)
    assert plain.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in plain.items())
    assert back.precision == precision


@PRECISIONS
@FAMILIES
def test_the_file_of_a_quantised_backbone_is_what_the_library_of_the_format_writes(tmp_path, models, family, precision):
    expected = encoder_tensors(encoder_of(models[family], precision))

    stored_weights(models[family]).write(tmp_path / "ours", precision)

    save_file(expected, tmp_path / "librarys")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "librarys").read_bytes()
    read = load_file(tmp_path / "ours")
    assert all(torch.equal(read[name], tensor) for name, tensor in expected.items())


def test_weights_that_are_no_parts_stay_as_they_are():
    plain = {"words": torch.ones(2, 2), "values": torch.ones(1), "blocks.0.norm_weight": torch.ones(2)}

    assert from_parts(plain) == plain
    assert in_parts(plain) == plain


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_a_backbone_knows_its_precision_also_where_it_computes_in_more(models, precision):
    tensors = encoder_of(models["bert"], precision).tensors()

    assert precision_of(tensors["blocks.0.up_weight"], tensors["words"]) == precision
    if precision == "bf16":
        assert precision_of(tensors["blocks.0.up_weight"].float(), tensors["words"]) == "bf16"
