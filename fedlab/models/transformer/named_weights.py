"""An encoder's weights by the names they travel under: out of it as arrays, and back into it as parameters."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from fedlab.common.arrays import Arrays
from fedlab.models.peft.whole_blocks import EMBEDDING_NAMES, POOLER_NAMES, block_names
from fedlab.models.transformer.bert import Block, Encoder

_Holder = TypeVar("_Holder", Encoder, Block)


def named_weights(encoder: Encoder) -> dict[str, Tensor]:
    """Return all weights of an encoder, by the names they travel under."""
    named = dict(_named(encoder, EMBEDDING_NAMES))
    for index, block in enumerate(encoder.blocks):
        named |= _named(block, block_names(index))
    return named | dict(_named(encoder, POOLER_NAMES))


def weights_of(encoder: Encoder, names: Collection[str]) -> Arrays:
    """Return copies of those of the named arrays that are weights of the encoder, in float32."""
    held = named_weights(encoder)
    return {name: held[name].detach().to(torch.float32, copy=True).cpu().numpy() for name in names if name in held}


def with_trained(encoder: Encoder, parameters: Mapping[str, Tensor]) -> Encoder:
    """Return the encoder with those of its weights replaced that are among the parameters."""
    blocks = tuple(_replaced(block, block_names(index), parameters) for index, block in enumerate(encoder.blocks))
    return _replaced(replace(encoder, blocks=blocks), {**EMBEDDING_NAMES, **POOLER_NAMES}, parameters)


def _replaced(holder: _Holder, names: Mapping[str, str], parameters: Mapping[str, Tensor]) -> _Holder:
    fields: dict[str, Any] = {field: parameters[name] for field, name in names.items() if name in parameters}
    return replace(holder, **fields) if fields else holder


def _named(holder: object, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights that are there by the names they travel under."""
    for field, name in names.items():
        tensor = getattr(holder, field)
        if tensor is not None:
            yield name, tensor
