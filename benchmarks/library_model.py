"""The adapters library's own model of trained arrays, which ours is compared with."""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import adapters
import numpy as np
import torch
from transformers import PreTrainedModel

from fedlab.models.peft.bottleneck import Bottleneck, adapted_blocks, adapter_names

NAME = "fedlab"

# It warns that no adapter is active while the first one is being made active.
logging.getLogger("adapters").setLevel(logging.ERROR)


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


def with_own_blocks(model: Any) -> Any:
    """Return an AlbertModel that computes the same with a copy of the shared block for each of its runs."""
    config = copy.deepcopy(model.config)
    config.num_hidden_groups = config.num_hidden_layers
    unshared = type(model)(config, add_pooling_layer=model.pooler is not None)
    unshared.load_state_dict(model.state_dict(), strict=False)
    groups = unshared.encoder.albert_layer_groups
    for group in groups[1:]:
        group.load_state_dict(groups[0].state_dict())
    return unshared.eval()


def _with_heads(pretrained: PreTrainedModel) -> Any:
    base = with_own_blocks(pretrained) if pretrained.config.model_type == "albert" else pretrained.base_model
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
