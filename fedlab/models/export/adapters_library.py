"""The only file that names the adapters library: its model is our reference, its saved form our product."""

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import adapters
import numpy as np
import torch
from adapters.models.auto.adapter_model import ADAPTER_MODEL_MAPPING_NAMES
from transformers import PreTrainedModel

from fedlab.models.families import family_of
from fedlab.models.peft.bottleneck import Bottleneck, adapted_blocks, adapter_names

NAME = "fedlab"

# It warns that no adapter is active while the first one is being made active.
logging.getLogger("adapters").setLevel(logging.ERROR)


def knows(pretrained: PreTrainedModel) -> bool:
    """Tell whether the library has adapters for a transformers model."""
    return pretrained.config.model_type in ADAPTER_MODEL_MAPPING_NAMES


def library_model(
    pretrained: PreTrainedModel,
    arrays: Mapping[str, np.ndarray],
    config: Bottleneck,
    *,
    kind: str,
    label_names: Sequence[str],
    pooling: str,
) -> Any:
    """Return the adapters library's own model of these arrays, in evaluation mode.

    `pretrained` is a transformers model without a head, of a known family, `config` the set that the arrays are of.
    The adapter and the head are both called `fedlab`.
    """
    blocks = pretrained.config.num_hidden_layers
    hidden = pretrained.config.hidden_size
    model = _with_heads(pretrained)
    bare = range(blocks - config.depth)
    # The library divides by the factor and rounds down: the half keeps the rounding on the right side.
    reduction = hidden / (config.width + 0.5)
    model.add_adapter(NAME, config=adapters.SeqBnConfig(reduction_factor=reduction, leave_out=list(bare)))
    _add_head(model, kind, label_names, pooling)
    model.set_active_adapters(NAME)
    model.active_head = NAME
    _load(model, arrays, config_blocks=adapted_blocks(config, blocks))
    return model.eval()


def save_adapter(model: Any, folder: Path) -> None:
    """Save adapter and head so that the library's `model.load_adapter(folder)` opens them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_adapter(str(folder), NAME, with_head=True)


def _with_heads(pretrained: PreTrainedModel) -> Any:
    base = family_of(pretrained.config.model_type, "the model").for_adapters(pretrained)
    config = copy.deepcopy(base.config)  # the library writes its adapters and heads into it
    model = adapters.AutoAdapterModel.from_config(config)
    model.base_model.load_state_dict(base.state_dict(), strict=False)
    return model


def _add_head(model: Any, kind: str, label_names: Sequence[str], pooling: str) -> None:
    names = dict(enumerate(label_names))
    if kind == "tagging":
        model.add_tagging_head(NAME, num_labels=len(names), layers=1, id2label=names)
    else:
        pooled = pooling == "pooler"
        model.add_classification_head(NAME, num_labels=len(names), layers=1, id2label=names, use_pooler=pooled)


def _load(model: Any, arrays: Mapping[str, np.ndarray], config_blocks: range) -> None:
    layers = dict(model.base_model.iter_layers())
    with torch.no_grad():
        for block in config_blocks:
            adapter = _output_adapter(layers[block])
            for name, parameter in zip(adapter_names(block), _parameters(adapter), strict=True):
                parameter.copy_(torch.from_numpy(arrays[name]))
        linear = model.heads[NAME][-1]
        linear.weight.copy_(torch.from_numpy(arrays["head.weight"]))
        if "head.bias" in arrays:
            linear.bias.copy_(torch.from_numpy(arrays["head.bias"]))
        else:
            linear.bias.zero_()


def _output_adapter(layer: Any) -> Any:
    holder = layer.output if hasattr(layer, "output") else layer.output_adapters
    return holder.adapters[NAME]


def _parameters(adapter: Any) -> tuple[torch.nn.Parameter, ...]:
    down, up = adapter.adapter_down[0], adapter.adapter_up
    return down.weight, down.bias, up.weight, up.bias
