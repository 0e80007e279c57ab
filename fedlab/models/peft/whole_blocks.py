"""Whole blocks as arrays that travel: out of an encoder, and into it again."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedlab.common.arrays import Arrays
from fedlab.models.peft.bottleneck import EMBEDDING_NAMES, POOLER_NAMES, block_names
from fedlab.models.transformer.bert import Encoder


def whole_arrays(encoder: Encoder, depth: int, *, pooler: bool) -> Arrays:
    """Return copies of the weights that training the top `depth` blocks whole trains, without a head, in float32."""
    return {
        name: tensor.detach().to(torch.float32, copy=True).cpu().numpy()
        for name, tensor in trained_weights(encoder, depth, pooler=pooler)
    }


def trained_weights(encoder: Encoder, depth: int, *, pooler: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights that training the top `depth` blocks whole trains, by the names they travel under."""
    blocks = len(encoder.blocks)
    assert 0 <= depth <= blocks, f"depth {depth} in an encoder of {blocks} blocks"
    if depth == blocks:
        yield from _named(encoder, EMBEDDING_NAMES)
    for index in range(blocks - depth, blocks):
        yield from _named(encoder.blocks[index], block_names(index))
    if pooler:
        yield from _named(encoder, POOLER_NAMES)


def with_trained(encoder: Encoder, parameters: Mapping[str, Tensor]) -> Encoder:
    """Return the encoder with those of its weights replaced that are among the parameters."""
    blocks = list(encoder.blocks)
    for index in range(len(blocks)):
        own = block_names(index)
        if own["norm_weight"] in parameters:
            blocks[index] = replace(blocks[index], **{field: parameters[name] for field, name in own.items()})
    names = {**EMBEDDING_NAMES, **POOLER_NAMES}
    rest: dict[str, Any] = {field: parameters[name] for field, name in names.items() if name in parameters}
    return replace(encoder, blocks=tuple(blocks), **rest)


def _named(holder: object, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights that are there by the names they travel under."""
    for field, name in names.items():
        tensor = getattr(holder, field)
        if tensor is not None:
            yield name, tensor
