"""The weights of an encoder, out of a transformers model and into one, by the names that its family declares.

Transformers' classifiers of texts put a dense layer between the first row and the labels, which for BERT, RoBERTa and
ALBERT has the form of the pooler, with tanh, and for DistilBERT has relu. A head trained on the row itself is saved
with that layer made to pass it through: tanh(e x) / e is x to a relative (e x)^2 / 3, and relu(x + c) - c is x where
no element is below -c, which a layer norm bounds.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlab.models.peft.whole_blocks import EMBEDDING_NAMES, POOLER_NAMES, block_names, shared_blocks
from fedlab.models.stored_weights import StoredWeights
from fedlab.models.transformer.family import EncoderFamily

_SMALL = 2.0**-14  # a power of two, so that scaling rounds nothing; (e x)^2 / 3 is below 1e-6 for any |x| up to 28


def weights_of_encoder(family: EncoderFamily, model: Any) -> StoredWeights:
    """Return the weights of a transformers model without a head.

    Raises:
        UserError: the model computes something that these functions do not.
    """
    config = model.config.to_dict()
    where = f"backbone.name: the {model.config.model_type}"
    shape, first = family.sizes(config, where).shape, family.first_position(config)
    weights = {name: it.detach() for name, it in model.state_dict().items()}
    parts = {
        ours: tuple(_part(ours, weights[name], first) for name in theirs)
        for ours, theirs in family.weight_names(shape.blocks).items()
        if theirs[0] in weights  # the pooler may be missing
    }
    facts = {
        "heads": family.size(config, "num_attention_heads", where),
        "epsilon": config["layer_norm_eps"] if family.epsilon is None else family.epsilon,
        "gelu": family.gelu(config),
        "shares_blocks": family.shares_blocks,
        "shape": vars(shape),
    }
    return StoredWeights(parts=parts, facts=facts)


def write_classifier(
    family: EncoderFamily, model: Any, arrays: Mapping[str, np.ndarray], *, kind: str, pooling: str
) -> None:
    """Write trained arrays, head included, into transformers' own classifier or tagger of a family."""
    with torch.no_grad():
        _write_encoder(family, model.base_model.state_dict(), arrays, model.config.to_dict())
        weight, bias = (torch.from_numpy(arrays[name]) for name in ("head.weight", "head.bias"))
        if kind == "tagging":
            _set(model.classifier, weight, bias)
        elif pooling == "pooler":
            _write_pooled(family, model, arrays, weight, bias)
        else:
            _write_first_row(family, model, weight, bias)


def head_parameters(
    family: EncoderFamily, model: Any, arrays: Mapping[str, np.ndarray], *, kind: str, pooling: str
) -> dict[str, np.ndarray]:
    """Return a trained head as parameters of transformers' own classifier or tagger, by their names there.

    `model` is the model without a head, whose pooler the head reads where that is its pooling.
    """
    # Imported here: it needs the families.
    from fedlab.models.export.transformers_model import finetuned_model  # noqa: PLC0415

    if pooling == "pooler":
        state = model.state_dict()
        names = {ours: family.top[name] for name, ours in POOLER_NAMES.items()}
        arrays = {**{ours: state[theirs].float().numpy() for ours, theirs in names.items()}, **arrays}
    labels = [str(label) for label in range(len(arrays["head.weight"]))]
    whole = finetuned_model(model, arrays, kind=kind, label_names=labels, pooling=pooling)
    layers = [family.classifier.dense, family.classifier.labels] if kind == "classification" else ["classifier"]
    found = {layer: whole.get_submodule(layer).state_dict() for layer in layers}
    return {f"{layer}.{name}": it.numpy() for layer, state in found.items() for name, it in state.items()}


def _part(name: str, tensor: Tensor, first_position: int) -> Tensor:
    """Return what an encoder keeps of a tensor: token type 0 alone, and the positions that a text can have."""
    if name == "token_type":
        return tensor[0].clone()  # what is left of the whole table is not kept in memory
    return tensor[first_position:].clone() if name == "positions" and first_position else tensor


def _write_encoder(
    family: EncoderFamily, state: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> None:
    """Write trained embeddings, blocks and pooler into the parameters of an encoder, which `state` shares."""
    blocks = family.size(config, "num_hidden_layers", "")
    theirs = family.weight_names(blocks)
    for ours, name in _travelling_names(family, blocks).items():
        if name not in arrays or theirs[ours][0] not in state:  # taggers and some classifiers have no pooler
            continue
        for each, values in zip(theirs[ours], np.split(arrays[name], len(theirs[ours])), strict=True):
            target = _part_of_state(ours, state[each], family.first_position(config))
            target.copy_(torch.from_numpy(values))


def _part_of_state(name: str, tensor: Tensor, first_position: int) -> Tensor:
    """Return the part of a parameter that `_part` keeps, as a view to write to."""
    if name == "token_type":
        return tensor[0]
    return tensor[first_position:] if name == "positions" else tensor


def _travelling_names(family: EncoderFamily, blocks: int) -> dict[str, str]:
    """Return what the weights of an encoder are called as arrays, by their names in `Encoder.tensors`."""
    own = range(1 if family.shares_blocks else blocks)
    named = {ours: name for ours, name in {**EMBEDDING_NAMES, **POOLER_NAMES}.items() if ours in family.top}
    for index in own:
        label = shared_blocks(blocks) if family.shares_blocks else index
        named |= {f"blocks.{index}.{part}": name for part, name in block_names(label).items()}
    return named


def _write_pooled(
    family: EncoderFamily, model: Any, arrays: Mapping[str, np.ndarray], weight: Tensor, bias: Tensor
) -> None:
    """Write a head that reads the pooler, which is trained with it: as the classifier's dense layer."""
    pooler = (torch.from_numpy(arrays[POOLER_NAMES[name]]) for name in ("pooler_weight", "pooler_bias"))
    _set(model.get_submodule(family.classifier.dense), *pooler)
    _set(model.get_submodule(family.classifier.labels), weight, bias)


def _write_first_row(family: EncoderFamily, model: Any, weight: Tensor, bias: Tensor) -> None:
    """Write a head that reads the first row itself, which the dense layer is made to pass through."""
    dense, same = model.get_submodule(family.classifier.dense), torch.eye(weight.shape[1])
    if family.classifier.activation == "tanh":
        _set(dense, same * _SMALL, torch.zeros(weight.shape[1]))
        weight = weight / _SMALL
    else:
        last = family.block.format(model.config.num_hidden_layers - 1)
        lift = _largest(model.base_model.get_submodule(f"{last}.{family.parts['norm'][0]}"))
        _set(dense, same, lift)
        bias = bias - (weight.double() @ lift.double()).float()
    _set(model.get_submodule(family.classifier.labels), weight, bias)


def _set(linear: Any, weight: Tensor, bias: Tensor) -> None:
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


def _largest(norm: Any) -> Tensor:
    """Return what no element of a layer norm's output exceeds in size: a normed element is at most sqrt(H - 1)."""
    bound: Tensor = norm.weight.abs() * math.sqrt(norm.weight.numel() - 1) + norm.bias.abs()
    return bound
