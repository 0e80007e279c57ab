"""The weights of a decoder, out of a transformers model, of which nothing is copied, and trained ones into one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlab.models.stored_weights import StoredWeights
from fedlab.models.transformer.decoder import bias_names
from fedlab.models.transformer.llama import DecoderFamily

# What transformers calls the parts of a block, by field of `fedlab.models.transformer.decoder.DecoderBlock`.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "input_norm": ("input_layernorm",),
    "attention_in": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "middle_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def weights_of_decoder(family: DecoderFamily, model: Any) -> StoredWeights:
    """Return the weights of a transformers model, with or without the head over the vocabulary.

    Raises:
        UserError: the model computes something that these functions do not.
    """
    config = model.config.to_dict()
    where = f"backbone.name: the {model.config.model_type}"
    sizes = family.sizes(config, where)
    body, head = model.base_model, getattr(model, "lm_head", None)
    state = body.state_dict()
    parts: dict[str, tuple[Tensor, ...]] = {
        "words": (state["embed_tokens.weight"],),
        "norm_weight": (state["norm.weight"],),
    }
    for index in range(sizes.shape.blocks):
        parts |= _of_block(state, index)
    tied = bool(config.get("tie_word_embeddings"))
    if head is not None and not tied:
        parts["lm_head"] = (head.weight,)
    heads = dict(zip(("count", "shared", "size"), family.heads(config, where), strict=True))
    rotary = body.rotary_emb
    turns = {"frequencies": rotary.inv_freq.float().tolist(), "scaling": float(rotary.attention_scaling)}
    facts = {
        "heads": heads | turns,
        "tied": tied,
        "epsilon": config["rms_norm_eps"],
        "longest": sizes.positions,
        "shape": dict(vars(sizes.shape)),
    }
    return StoredWeights(parts=parts, facts=facts)


def write_classifier(model: Any, arrays: Mapping[str, np.ndarray], head: Mapping[str, np.ndarray]) -> None:
    """Write trained biases, and a head by transformers' names, into transformers' own classifier or tagger."""
    state = model.base_model.state_dict()  # it shares its memory with the model
    with torch.no_grad():
        for index in range(int(model.config.num_hidden_layers)):
            for field, name in bias_names(index).items():
                if name in arrays:
                    _write_parts(state, index, field.removesuffix("_bias"), torch.from_numpy(arrays[name]))
        for name, array in head.items():
            model.get_parameter(name).copy_(torch.from_numpy(array))


def _write_parts(state: Mapping[str, Tensor], index: int, part: str, bias: Tensor) -> None:
    """Write a bias to the layers that share it between them."""
    targets = [state[f"layers.{index}.{layer}.bias"] for layer in _PARTS[part]]
    for target, values in zip(targets, torch.split(bias, [len(each) for each in targets]), strict=True):
        target.copy_(values)


def _of_block(state: Mapping[str, Tensor], index: int) -> dict[str, tuple[Tensor, ...]]:
    """Return the weights of a block, and those biases that it has."""
    found: dict[str, tuple[Tensor, ...]] = {}
    for part, layers in _PARTS.items():
        for which in ("weight", "bias"):
            names = [f"layers.{index}.{layer}.{which}" for layer in layers]
            if names[0] in state:
                found[f"blocks.{index}.{part}_{which}"] = tuple(state[name] for name in names)
    return found
