"""A BERT-family encoder as plain functions of frozen weights, adapters and hidden states.

BERT and DistilBERT are both post-norm transformers and differ only in the names of their weights and in what the
embedding adds, so one set of functions runs both. Frozen blocks run without dropout: what they compute for a text is
the same every time, which is what lets it be stored (`fedlab.activations`).

A block is cut where its adapter sits: `block_sum` gives the state s = h + feed_forward(h) before the block's last
layer norm N. A plain block ends with N(s), an adapted one with N(s + up(relu(down(N(s))))). Everything up to the s
of the lowest adapted block is frozen.

Sizes: B texts, T tokens, H hidden, I intermediate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.arrays import adapter_names
from fedlab.workload import EncoderShape


@dataclass(frozen=True, kw_only=True)
class Block:
    """The frozen weights of one transformer block."""

    attention_in_weight: Tensor  # [3H, H]: query, key, value
    attention_in_bias: Tensor  # [3H]
    attention_out_weight: Tensor  # [H, H]
    attention_out_bias: Tensor  # [H]
    attention_norm_weight: Tensor  # [H]
    attention_norm_bias: Tensor  # [H]
    up_weight: Tensor  # [I, H]
    up_bias: Tensor  # [I]
    down_weight: Tensor  # [H, I]
    down_bias: Tensor  # [H]
    norm_weight: Tensor  # [H]
    norm_bias: Tensor  # [H]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The frozen weights of an encoder."""

    words: Tensor  # [vocabulary, H]
    positions: Tensor  # [at least T, H], token-type 0 already added
    norm_weight: Tensor  # [H]
    norm_bias: Tensor  # [H]
    blocks: tuple[Block, ...]
    heads: int
    epsilon: float
    pooler_weight: Tensor | None  # [H, H]
    pooler_bias: Tensor | None  # [H]
    shape: EncoderShape


BLOCK_WEIGHTS = tuple(field.name for field in fields(Block))
Adapters = Mapping[str, Tensor]


def embed(encoder: Encoder, ids: Tensor) -> Tensor:
    """Return the input of block 0, [B, T, H], for token ids [B, T]."""
    states = F.embedding(ids, encoder.words) + encoder.positions[: ids.shape[1]]
    return F.layer_norm(states, states.shape[-1:], encoder.norm_weight, encoder.norm_bias, encoder.epsilon)


def attention_mask(lengths: Tensor, width: int) -> Tensor | None:
    """Return which keys may be attended to, bool [B, 1, 1, T], or None where no text is padded."""
    if int(lengths.min()) >= width:
        return None
    return (torch.arange(width, device=lengths.device) < lengths[:, None])[:, None, None, :]


def block_sum(encoder: Encoder, index: int, states: Tensor, mask: Tensor | None, *, rows: int | None = None) -> Tensor:
    """Run a block up to the sum before its last norm: [B, T, H] to [B, T, H], or to [B, rows, H] for the first rows.

    A classifier reads the first row only: its last block needs keys and values of all rows but one query.
    """
    block = encoder.blocks[index]
    attended = _attention(block, states, mask, encoder.heads, rows)
    queried = states if rows is None else states[:, :rows]
    middle = _norm(queried + attended, block.attention_norm_weight, block.attention_norm_bias, encoder.epsilon)
    inner = F.gelu(F.linear(middle, block.up_weight, block.up_bias))
    return middle + F.linear(inner, block.down_weight, block.down_bias)


def block_end(encoder: Encoder, index: int, sums: Tensor, adapters: Adapters) -> Tensor:
    """Finish a block: its adapter, if it has one, and its last norm."""
    block = encoder.blocks[index]
    normed = _norm(sums, block.norm_weight, block.norm_bias, encoder.epsilon)
    down_weight, down_bias, up_weight, up_bias = adapter_names(index)
    if down_weight not in adapters:
        return normed
    inner = F.relu(F.linear(normed, adapters[down_weight], adapters[down_bias]))
    added = sums + F.linear(inner, adapters[up_weight], adapters[up_bias])
    return _norm(added, block.norm_weight, block.norm_bias, encoder.epsilon)


def finish(
    encoder: Encoder, sums: Tensor, mask: Tensor | None, adapters: Adapters, *, first: int, rows: int | None = None
) -> Tensor:
    """Run from the sum of block `first` to the last block's output, [B, T, H] or [B, rows, H]."""
    last = len(encoder.blocks) - 1
    states = block_end(encoder, first, sums, adapters)
    for index in range(first + 1, last + 1):
        sums = block_sum(encoder, index, states, mask, rows=rows if index == last else None)
        states = block_end(encoder, index, sums, adapters)
    return states


def pool(encoder: Encoder, first_rows: Tensor) -> Tensor:
    """Apply BERT's own pooler, frozen, to [CLS] rows [B, H]."""
    assert encoder.pooler_weight is not None, "this encoder has no pooler"
    return torch.tanh(F.linear(first_rows, encoder.pooler_weight, encoder.pooler_bias))


def _norm(states: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(states, states.shape[-1:], weight, bias, epsilon)


def _attention(block: Block, states: Tensor, mask: Tensor | None, heads: int, rows: int | None) -> Tensor:
    hidden = states.shape[-1]
    weight, bias = block.attention_in_weight, block.attention_in_bias
    if rows is None:
        query, key, value = F.linear(states, weight, bias).chunk(3, dim=-1)
    else:
        query = F.linear(states[:, :rows], weight[:hidden], bias[:hidden])
        key, value = F.linear(states, weight[hidden:], bias[hidden:]).chunk(2, dim=-1)
    query, key, value = (_by_head(part, heads) for part in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return F.linear(attended.transpose(1, 2).flatten(2), block.attention_out_weight, block.attention_out_bias)


def _by_head(states: Tensor, heads: int) -> Tensor:
    batch, width, hidden = states.shape
    return states.view(batch, width, heads, hidden // heads).transpose(1, 2)
