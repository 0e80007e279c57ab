"""Decoders are sized by name or configuration, without weights and without a hub."""

from pathlib import Path

import pytest

from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.decoders import PUBLISHED_DECODERS, decoder_shape
from fedlab.models.families import family_of
from fedlab.models.sizes import read_sizes
from fedlab.workload.weights import num_weights

# As published by their authors, or as the weights on the hub add up.
COUNTS = {
    "llama-7b": 6_738_415_616, "llama2-7b": 6_738_415_616, "llama2-13b": 13_015_864_320,
    "llama3.1-8b": 8_030_261_248, "llama3.2-1b": 1_235_814_400, "tinyllama-1.1b": 1_100_048_384,
    "smollm2-135m": 134_515_008, "smollm2-360m": 361_821_120, "smollm2-1.7b": 1_711_376_384,
    "mistral-7b": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552, "qwen2.5-0.5b": 494_032_768, "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512, "stories260k": 260_032,
}  # fmt: skip


def read(name, base=Path("nowhere"), **overrides):
    return read_sizes(BackboneTable(name=name, overrides=overrides), resolve=lambda text: base / text)


@pytest.mark.parametrize("name", PUBLISHED_DECODERS)
def test_a_published_decoder_has_its_published_number_of_weights(name):
    assert num_weights(read(name).shape) == COUNTS[name]


@pytest.mark.parametrize("name", PUBLISHED_DECODERS)
def test_a_published_decoder_has_the_sizes_that_transformers_gives_it(name):
    from transformers import AutoConfig  # noqa: PLC0415

    given = dict(PUBLISHED_DECODERS[name])
    config = AutoConfig.for_model(given.pop("model_type"), **given)
    shape = read(name).shape
    assert (shape.blocks, shape.hidden) == (config.num_hidden_layers, config.hidden_size)
    assert (shape.heads, shape.kv_heads) == (config.num_attention_heads, config.num_key_value_heads)
    assert shape.head_size == (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    assert (shape.vocabulary, shape.tied) == (config.vocab_size, config.tie_word_embeddings)


def test_every_published_decoder_has_a_known_number_of_weights():
    assert set(PUBLISHED_DECODERS) == set(COUNTS)


def test_a_hub_id_is_sized_as_the_short_name_is_without_the_hub():
    assert read("meta-llama/Llama-2-7b-hf") == read("llama2-7b")
    assert read("HuggingFaceTB/SmolLM2-135M") == read("smollm2-135m")


def test_overrides_change_a_published_decoder():
    assert read("llama-7b", num_hidden_layers=3).shape.blocks == 3


def test_a_folder_of_a_decoder_is_sized_by_its_configuration(tmp_path):
    from transformers import LlamaConfig  # noqa: PLC0415

    LlamaConfig(hidden_size=64, intermediate_size=172, num_hidden_layers=5, num_attention_heads=8, vocab_size=512,
                num_key_value_heads=4).save_pretrained(tmp_path / "mine")  # fmt: skip
    sizes = read("mine", tmp_path)
    assert (sizes.shape.blocks, sizes.shape.kv_heads, sizes.shape.head_size, sizes.vocabulary) == (5, 4, 8, 512)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 0}, "it: num_hidden_layers is 0, expected a positive whole number, at most 1000"),
        ({"vocab_size": None}, "it: vocab_size is None, expected a positive whole number"),
        ({"hidden_size": "4096"}, "it: hidden_size is '4096'"),
        ({"num_key_value_heads": 5}, "it cannot be used: it has 32 heads of size 128 and 5 of keys and values"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes, message):
    config = dict(PUBLISHED_DECODERS["llama-7b"]) | changes
    with pytest.raises(UserError, match=message):
        family_of("llama", "it").sizes(config, "it")


def test_a_shape_is_found_by_name_and_an_unknown_one_is_refused():
    assert decoder_shape("llama-7b") == read("llama-7b").shape
    assert decoder_shape("Qwen/Qwen2.5-0.5B").attention_biases
    with pytest.raises(UserError, match="no sizes of 'llama-9b' are known here: did you mean 'llama-7b'"):
        decoder_shape("llama-9b")
