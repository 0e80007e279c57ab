"""Where an encoder's weights come from: a hub, a folder, an installed package, or random numbers."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fedlab.common.seeds import seed_for
from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.plugins import nearest
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.location import DISTILBERT_SIZES, source_of
from fedlab.models.tokenizer import tokenizer_for
from fedlab.models.transformer.bert import BLOCK_WEIGHTS, Block, Encoder
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A transformers encoder and its tokenizer."""

    model: Any
    tokenizer: Any


def load_pretrained(
    table: BackboneTable, *, seed: int, resolve: Callable[[str], Path], texts: Callable[[], Iterable[str]]
) -> Pretrained:
    """Load the encoder and the tokenizer an experiment names.

    A random encoder has no tokenizer of its own: its vocabulary is that of `texts()`.

    Raises:
        UserError: the name is unknown, the hub cannot be reached, or the model is no BERT or DistilBERT.
    """
    if table.name in RANDOM_BACKBONES:
        return _random(table, seed, texts)
    if table.overrides:
        raise UserError("backbone.overrides: sizes can be set for a randomly initialised encoder only")
    return _from_files(source_of(table.name, resolve), table.name)


def encoder_of(model: Any, precision: Literal["fp32", "bf16"] = "fp32") -> Encoder:
    """Take the frozen weights out of a transformers BertModel or DistilBertModel, in a precision.

    Raises:
        UserError: the model is of another architecture, or computes something these functions do not.
    """
    config = model.config
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    weights = {name: tensor.detach().to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    if config.model_type == "bert":
        return _bert(config, weights)
    if config.model_type == "distilbert":
        return _distilbert(config, weights)
    raise UserError(f"backbone.name: the model is a '{config.model_type}'; accepted: bert, distilbert")


def encoder_tensors(encoder: Encoder) -> dict[str, Tensor]:
    """Return the encoder's weights by name, as `encoder_from_tensors` takes them back."""
    named = {name: getattr(encoder, name) for name in _TOP_WEIGHTS}
    for index, block in enumerate(encoder.blocks):
        named |= {f"blocks.{index}.{name}": getattr(block, name) for name in BLOCK_WEIGHTS}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def encoder_from_tensors(tensors: Mapping[str, Tensor], sizes: Mapping[str, Any]) -> Encoder:
    """Put an encoder together from `encoder_tensors` and `encoder_sizes`."""
    shape = ModelShape(**sizes["shape"])
    blocks = tuple(
        Block(**{name: tensors[f"blocks.{index}.{name}"] for name in BLOCK_WEIGHTS}) for index in range(shape.blocks)
    )
    top: dict[str, Any] = {name: tensors.get(name) for name in _TOP_WEIGHTS}
    return Encoder(**top, blocks=blocks, heads=sizes["heads"], epsilon=sizes["epsilon"], shape=shape)


def encoder_sizes(encoder: Encoder) -> dict[str, Any]:
    """Return what an encoder is beside its weights, as plain values."""
    return {"heads": encoder.heads, "epsilon": encoder.epsilon, "shape": vars(encoder.shape)}


_TOP_WEIGHTS = ("words", "positions", "token_type", "norm_weight", "norm_bias", "pooler_weight", "pooler_bias")


_FORMAT = 2  # of what `encoder_tensors` returns: files of another are left alone


def source_key(table: BackboneTable, seed: int, resolve: Callable[[str], Path]) -> str:
    """Return a key that changes when the weights a name stands for change."""
    facts: list[Any] = [_FORMAT, table.model_dump(mode="json")]
    if table.name in RANDOM_BACKBONES:
        facts.append(seed)
    with suppress(UserError):
        folder = source_of(table.name, resolve)
        if isinstance(folder, Path):
            facts += [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(folder.iterdir()) if p.is_file()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _from_files(source: Path | str, name: str) -> Pretrained:
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415  (seconds to import, and workers never need it)
    from transformers.utils import is_offline_mode, logging  # noqa: PLC0415

    logging.set_verbosity_error()
    try:
        model, loading = AutoModel.from_pretrained(source, attn_implementation="eager", output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    except Exception as error:  # safetensors and tokenizers raise types of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        offline = " (offline)" if is_offline_mode() else ""
        raise UserError(f"backbone.name: '{name}' cannot be loaded{offline}: {reason}") from error
    if any(key.startswith("pooler.") for key in loading["missing_keys"]):
        model.pooler = None  # transformers would make one up at random
    return Pretrained(model=model.eval(), tokenizer=tokenizer)


def _random(table: BackboneTable, seed: int, texts: Callable[[], Iterable[str]]) -> Pretrained:
    from transformers import AutoConfig, AutoModel  # noqa: PLC0415

    sizes = dict(RANDOM_BACKBONES[table.name]) | table.overrides
    model_type = sizes.pop("model_type")
    _check_overrides(table.overrides)
    if model_type == "distilbert":
        sizes = {DISTILBERT_SIZES.get(key, key): value for key, value in sizes.items()}
    config = AutoConfig.for_model(model_type, **sizes)
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(seed_for(seed, "backbone"))  # transformers draws from torch's global generator
    try:
        model = AutoModel.from_config(config).eval()
    except ValueError as error:
        raise UserError(f"backbone.overrides: {error}") from error
    finally:
        torch.random.set_rng_state(generator_state)
    return Pretrained(model=model, tokenizer=tokenizer_for(texts(), config.vocab_size))


def _check_overrides(overrides: Mapping[str, int]) -> None:
    accepted = [*DISTILBERT_SIZES, "vocab_size", "max_position_embeddings"]
    for key, value in overrides.items():
        if key not in accepted:
            raise UserError(f"unknown key backbone.overrides.{key}: {nearest(key, accepted)}")
        if value < 1:
            raise UserError(f"backbone.overrides.{key} = {value}: expected a positive number")


def _bert(config: Any, weights: Mapping[str, Tensor]) -> Encoder:
    _require(config.hidden_act == "gelu", f"its activation is {config.hidden_act}; accepted: gelu")
    position = getattr(config, "position_embedding_type", None) or "absolute"
    _require(position == "absolute", f"its positions are {position}; accepted: absolute")
    return Encoder(
        words=weights["embeddings.word_embeddings.weight"],
        positions=weights["embeddings.position_embeddings.weight"],
        token_type=weights["embeddings.token_type_embeddings.weight"][0].clone(),
        norm_weight=weights["embeddings.LayerNorm.weight"],
        norm_bias=weights["embeddings.LayerNorm.bias"],
        blocks=tuple(_block(weights, "bert", i) for i in range(config.num_hidden_layers)),
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
        pooler_weight=weights.get("pooler.dense.weight"),
        pooler_bias=weights.get("pooler.dense.bias"),
        shape=ModelShape(
            family="bert",
            blocks=config.num_hidden_layers,
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
        ),
    )


def _distilbert(config: Any, weights: Mapping[str, Tensor]) -> Encoder:
    _require(config.activation == "gelu", f"its activation is {config.activation}; accepted: gelu")
    return Encoder(
        words=weights["embeddings.word_embeddings.weight"],
        positions=weights["embeddings.position_embeddings.weight"],
        token_type=None,
        norm_weight=weights["embeddings.LayerNorm.weight"],
        norm_bias=weights["embeddings.LayerNorm.bias"],
        blocks=tuple(_block(weights, "distilbert", i) for i in range(config.n_layers)),
        heads=config.n_heads,
        epsilon=1e-12,  # DistilBERT's own constant, not in its configuration
        pooler_weight=None,
        pooler_bias=None,
        shape=ModelShape(
            family="distilbert", blocks=config.n_layers, hidden=config.dim, intermediate=config.hidden_dim
        ),
    )


# What transformers calls the parts of a block, by ours: where blocks lie, and the names inside one.
PART_NAMES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "bert": (
        "encoder.layer",
        {
            "query": "attention.self.query",
            "key": "attention.self.key",
            "value": "attention.self.value",
            "attention_out": "attention.output.dense",
            "attention_norm": "attention.output.LayerNorm",
            "up": "intermediate.dense",
            "down": "output.dense",
            "norm": "output.LayerNorm",
        },
    ),
    "distilbert": (
        "transformer.layer",
        {
            "query": "attention.q_lin",
            "key": "attention.k_lin",
            "value": "attention.v_lin",
            "attention_out": "attention.out_lin",
            "attention_norm": "sa_layer_norm",
            "up": "ffn.lin1",
            "down": "ffn.lin2",
            "norm": "output_layer_norm",
        },
    ),
}


def _block(weights: Mapping[str, Tensor], family: str, index: int) -> Block:
    place, names = PART_NAMES[family]

    def weight(part: str, which: str) -> Tensor:
        return weights[f"{place}.{index}.{names[part]}.{which}"]

    def both(part: str) -> dict[str, Tensor]:
        return {f"{part}_{which}": weight(part, which) for which in ("weight", "bias")}

    def stacked(which: Literal["weight", "bias"]) -> Tensor:
        return torch.cat([weight(part, which) for part in ("query", "key", "value")])

    rest = both("attention_out") | both("attention_norm") | both("up") | both("down") | both("norm")
    return Block(attention_in_weight=stacked("weight"), attention_in_bias=stacked("bias"), **rest)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise UserError(f"backbone.name: the model cannot be used: {what}")
