"""The configurations of published decoders of the LLaMA class, by name.

Only sizes are read, so that a model of any size can be priced without its weights.
"""

from collections.abc import Mapping
from typing import Any

from fedlab.config.plugins import nearest
from fedlab.errors import UserError
from fedlab.models.families import family_of
from fedlab.workload.shape import ModelShape


def _published(
    model_type: str, blocks: int, hidden: int, intermediate: int, heads: tuple[int, int], vocabulary: int,
    positions: int, *, tied: bool = False,
) -> Mapping[str, Any]:  # fmt: skip
    return {
        "model_type": model_type, "num_hidden_layers": blocks, "hidden_size": hidden,
        "intermediate_size": intermediate, "num_attention_heads": heads[0], "num_key_value_heads": heads[1],
        "vocab_size": vocabulary, "max_position_embeddings": positions, "tie_word_embeddings": tied,
    }  # fmt: skip


# As in the config.json of each model on the Hugging Face hub; heads are those of queries, and of keys and values.
PUBLISHED_DECODERS: Mapping[str, Mapping[str, Any]] = {
    "llama-7b": _published("llama", 32, 4096, 11_008, (32, 32), 32_000, 2048),
    "llama2-7b": _published("llama", 32, 4096, 11_008, (32, 32), 32_000, 4096),
    "llama2-13b": _published("llama", 40, 5120, 13_824, (40, 40), 32_000, 4096),
    "llama3.1-8b": _published("llama", 32, 4096, 14_336, (32, 8), 128_256, 131_072),
    "llama3.2-1b": _published("llama", 16, 2048, 8192, (32, 8), 128_256, 131_072, tied=True),
    "tinyllama-1.1b": _published("llama", 22, 2048, 5632, (32, 4), 32_000, 2048),
    "smollm2-135m": _published("llama", 30, 576, 1536, (9, 3), 49_152, 8192, tied=True),
    "smollm2-360m": _published("llama", 32, 960, 2560, (15, 5), 49_152, 8192, tied=True),
    "smollm2-1.7b": _published("llama", 24, 2048, 8192, (32, 32), 49_152, 8192, tied=True),
    "stories260k": _published("llama", 5, 64, 172, (8, 4), 512, 512, tied=True),  # of llama2.c
    "mistral-7b": _published("mistral", 32, 4096, 14_336, (32, 8), 32_000, 32_768),
    "mistral-7b-v0.3": {
        **_published("mistral", 32, 4096, 14_336, (32, 8), 32_768, 32_768),
        "sliding_window": None,  # unlike v0.1
    },
    "qwen2.5-0.5b": _published("qwen2", 24, 896, 4864, (14, 2), 151_936, 32_768, tied=True),
    "qwen2.5-1.5b": _published("qwen2", 28, 1536, 8960, (12, 2), 151_936, 131_072, tied=True),
    "qwen2.5-7b": _published("qwen2", 28, 3584, 18_944, (28, 4), 152_064, 131_072),
}
_HUB_IDS: Mapping[str, str] = {
    "huggyllama/llama-7b": "llama-7b",
    "meta-llama/Llama-2-7b-hf": "llama2-7b",
    "meta-llama/Llama-2-13b-hf": "llama2-13b",
    "meta-llama/Llama-3.1-8B": "llama3.1-8b",
    "meta-llama/Llama-3.2-1B": "llama3.2-1b",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "tinyllama-1.1b",
    "HuggingFaceTB/SmolLM2-135M": "smollm2-135m",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2-135m",
    "HuggingFaceTB/SmolLM2-360M": "smollm2-360m",
    "HuggingFaceTB/SmolLM2-360M-Instruct": "smollm2-360m",
    "HuggingFaceTB/SmolLM2-1.7B": "smollm2-1.7b",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": "smollm2-1.7b",
    "mistralai/Mistral-7B-v0.1": "mistral-7b",
    "mistralai/Mistral-7B-v0.3": "mistral-7b-v0.3",
    "Qwen/Qwen2.5-0.5B": "qwen2.5-0.5b",
    "Qwen/Qwen2.5-0.5B-Instruct": "qwen2.5-0.5b",
    "Qwen/Qwen2.5-1.5B": "qwen2.5-1.5b",
    "Qwen/Qwen2.5-7B": "qwen2.5-7b",
}


def published_decoder(name: str) -> Mapping[str, Any] | None:
    """Return the configuration of a published decoder, by its short name or its hub id; None if none is known."""
    return PUBLISHED_DECODERS.get(_HUB_IDS.get(name, name))


def published_of(model_type: str) -> dict[str, Mapping[str, Any]]:
    """Return the configurations of a model type, by short name and by hub id."""
    named = {name: PUBLISHED_DECODERS[short] for name, short in _HUB_IDS.items()} | dict(PUBLISHED_DECODERS)
    return {name: config for name, config in named.items() if config["model_type"] == model_type}


def decoder_shape(name: str) -> ModelShape:
    """Return the shape of a published decoder. Raises UserError if none of that name is known here."""
    config = published_decoder(name)
    if config is None:
        raise UserError(f"no sizes of '{name}' are known here: {nearest(name, PUBLISHED_DECODERS)}")
    return family_of(config["model_type"], name).sizes(config, name).shape
