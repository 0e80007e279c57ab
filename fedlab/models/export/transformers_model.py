"""A model whose blocks were trained whole, as transformers' own classifier or tagger.

Their classifiers put a dense layer between [CLS] and the labels: BERT's a pooler with tanh, DistilBERT's one with
relu. A head trained on [CLS] itself is saved with that layer made to pass [CLS] through: tanh(e x) / e is x to a
relative (e x)^2 / 3, and relu(x + c) - c is x where no element is below -c, which a layer norm bounds.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from fedlab.models.load import PART_NAMES
from fedlab.models.peft.whole_blocks import EMBEDDING_NAMES, POOLER_NAMES, block_names

_SMALL = 2.0**-14  # a power of two, so that scaling rounds nothing; (e x)^2 / 3 is below 1e-6 for any |x| up to 28


def finetuned_model(
    pretrained: Any, arrays: Mapping[str, np.ndarray], *, kind: str, label_names: Sequence[str], pooling: str
) -> Any:
    """Return transformers' model of these arrays, in evaluation mode; what is not trained is the pretrained model's.

    `pretrained` is a transformers BertModel or DistilBertModel.
    """
    names = dict(enumerate(label_names))
    config = copy.deepcopy(pretrained.config)
    config.id2label, config.label2id = names, {name: number for number, name in names.items()}
    kinds = AutoModelForTokenClassification if kind == "tagging" else AutoModelForSequenceClassification
    with torch.random.fork_rng(devices=[]):  # it draws weights, all of which are replaced
        model = kinds.from_config(config)
    model.base_model.load_state_dict(pretrained.state_dict(), strict=False)
    with torch.no_grad():
        _put_blocks(model.base_model.state_dict(), arrays, config)
        _put_rest(model.base_model.state_dict(), arrays)
        _put_head(model, arrays, reads_first_row=kind == "classification" and pooling == "cls")
    return model.eval()


def save_finetuned(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save model and tokenizer so that `from_pretrained(folder)` of transformers' Auto classes opens them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


_REST = {
    EMBEDDING_NAMES["words"]: "embeddings.word_embeddings.weight",
    EMBEDDING_NAMES["positions"]: "embeddings.position_embeddings.weight",
    EMBEDDING_NAMES["token_type"]: "embeddings.token_type_embeddings.weight",
    EMBEDDING_NAMES["norm_weight"]: "embeddings.LayerNorm.weight",
    EMBEDDING_NAMES["norm_bias"]: "embeddings.LayerNorm.bias",
    POOLER_NAMES["pooler_weight"]: "pooler.dense.weight",
    POOLER_NAMES["pooler_bias"]: "pooler.dense.bias",
}


def _put_blocks(state: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray], config: Any) -> None:
    """Write whole blocks into the parameters of a transformers encoder, which `state` shares."""
    place, parts = PART_NAMES[config.model_type]
    for index in range(config.num_hidden_layers):
        for field, name in block_names(index).items():
            if name in arrays:
                part, which = field.rsplit("_", 1)
                inner = ("query", "key", "value") if part == "attention_in" else (part,)
                for each, values in zip(inner, np.split(arrays[name], len(inner)), strict=True):
                    state[f"{place}.{index}.{parts[each]}.{which}"].copy_(torch.from_numpy(values))


def _put_rest(state: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray]) -> None:
    for name, place in _REST.items():
        if name in arrays:
            target = state[place][0] if name == EMBEDDING_NAMES["token_type"] else state[place]
            target.copy_(torch.from_numpy(arrays[name]))


def _put_head(model: Any, arrays: Mapping[str, np.ndarray], *, reads_first_row: bool) -> None:
    weight, bias = (torch.from_numpy(arrays[name]) for name in ("head.weight", "head.bias"))
    if reads_first_row and model.config.model_type == "bert":
        _set(model.bert.pooler.dense, torch.eye(weight.shape[1]) * _SMALL, torch.zeros(weight.shape[1]))
        weight = weight / _SMALL
    elif reads_first_row:
        lift = _largest(model.distilbert.transformer.layer[-1].output_layer_norm)
        _set(model.pre_classifier, torch.eye(weight.shape[1]), lift)
        bias = bias - (weight.double() @ lift.double()).float()
    _set(model.classifier, weight, bias)


def _set(linear: Any, weight: Tensor, bias: Tensor) -> None:
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


def _largest(norm: Any) -> Tensor:
    """Return what no element of a layer norm's output exceeds in size: a normed element is at most sqrt(H - 1)."""
    bound: Tensor = norm.weight.abs() * math.sqrt(norm.weight.numel() - 1) + norm.bias.abs()
    return bound
