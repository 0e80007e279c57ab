"""A BERT-family encoder as plain functions of its weights, adapters and hidden states.

BERT and DistilBERT are both post-norm transformers and differ only in the names of their weights and in what the
embedding adds, so one set of functions runs both. Frozen blocks run without dropout: what they compute for a text is
the same every time, which is what lets it be stored (`fedlab.training.activation_store`).

A block is cut where its adapter sits: `block_sum` gives the state s = h + feed_forward(h) before the block's last
layer norm N. A plain block ends with N(s), an adapted one with N(s + up(relu(down(N(s))))). Everything up to the s
of the lowest adapted block is frozen.

Sizes: B texts, T tokens, R rows of these that are computed (`fedlab.models.transformer.unpadded`), H hidden,
I intermediate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.peft.bottleneck import adapter_names
from fedlab.models.transformer.unpadded import UnpaddedRows
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class Block:
    """The weights of one transformer block."""

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
    """The weights of an encoder, frozen or parameters."""

    words: Tensor  # [vocabulary, H]
    positions: Tensor  # [at least T, H]
    token_type: Tensor | None  # [H], of type 0; DistilBERT has none
    norm_weight: Tensor  # [H]
    norm_bias: Tensor  # [H]
    blocks: tuple[Block, ...]
    heads: int
    epsilon: float
    pooler_weight: Tensor | None  # [H, H]
    pooler_bias: Tensor | None  # [H]
    shape: ModelShape

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision in which states are kept; what computes them may have more (`models.precision`)."""
        return self.words.dtype

    @property
    def computes_in(self) -> torch.dtype:
        """Return the precision of the weights that states are multiplied with."""
        return self.norm_weight.dtype


BLOCK_WEIGHTS = tuple(field.name for field in fields(Block))
Adapters = Mapping[str, Tensor]


def embed(encoder: Encoder, ids: Tensor) -> Tensor:
    """Return the input of block 0, [B, T, H], for token ids [B, T]."""
    positions = encoder.positions[: ids.shape[1]]
    if encoder.token_type is not None:
        positions = positions + encoder.token_type
    states = F.embedding(ids, encoder.words).to(encoder.computes_in) + positions
    return F.layer_norm(states, states.shape[-1:], encoder.norm_weight, encoder.norm_bias, encoder.epsilon)


def block_sum(encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows) -> Tensor:
    """Run a block up to the sum before its last norm: [R, H] to [R, H]."""
    block = encoder.blocks[index]
    return _after_attention(encoder, block, states, _attention(block, states, rows, encoder.heads))


def block_sum_of_first(encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows) -> Tensor:
    """Run a block for the first token of each text only, up to the sum before its last norm: [R, H] to [B, H].

    A classifier reads the first row of the last block and nothing else.
    """
    block, padded = encoder.blocks[index], rows.padded(states)
    return _after_attention(encoder, block, padded[:, 0], _attention_of_first(block, padded, rows.mask, encoder.heads))


def block_end(encoder: Encoder, index: int, sums: Tensor, adapters: Adapters) -> Tensor:
    """Finish a block: its adapter, if it has one, and its last norm."""
    block = encoder.blocks[index]
    normed = _norm(sums, block.norm_weight, block.norm_bias, encoder.epsilon)
    down_weight, down_bias, up_weight, up_bias = adapter_names(index)
    if down_weight not in adapters:
        return normed
    inner = F.relu(affine(normed, adapters[down_weight], adapters[down_bias]))
    added = sums + affine(inner, adapters[up_weight], adapters[up_bias])
    return _norm(added, block.norm_weight, block.norm_bias, encoder.epsilon)


def affine(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply weight [O, I] and bias [O] to states [..., I], in the precision of the states.

    A stack of K weights [K, O, I] and biases [K, O] is applied part by part: the states are K equal parts.
    """
    weight, bias = weight.to(states.dtype), bias.to(states.dtype)
    if weight.dim() == 2:
        return F.linear(states, weight, bias)
    parts = states.reshape(len(weight), -1, states.shape[-1])
    return torch.baddbmm(bias[:, None], parts, weight.transpose(1, 2)).view(*states.shape[:-1], -1)


def pool(encoder: Encoder, first_rows: Tensor) -> Tensor:
    """Apply BERT's own pooler to [CLS] rows [B, H]."""
    assert encoder.pooler_weight is not None, "this encoder has no pooler"
    assert encoder.pooler_bias is not None, "a pooler has both"
    return torch.tanh(affine(first_rows, encoder.pooler_weight, encoder.pooler_bias))


def _norm(states: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return F.layer_norm(states, states.shape[-1:], weight, bias, epsilon)


def _after_attention(encoder: Encoder, block: Block, states: Tensor, attended: Tensor) -> Tensor:
    middle = _norm(states + attended, block.attention_norm_weight, block.attention_norm_bias, encoder.epsilon)
    inner = F.gelu(F.linear(middle, block.up_weight, block.up_bias))
    return middle + F.linear(inner, block.down_weight, block.down_bias)


def _attention(block: Block, states: Tensor, rows: UnpaddedRows, heads: int) -> Tensor:
    padded = rows.padded(F.linear(states, block.attention_in_weight, block.attention_in_bias))
    parts = padded.view(rows.texts, rows.width, 3, heads, -1).permute(2, 0, 3, 1, 4)  # each [B, heads, T, H / heads]
    if states.dtype == torch.bfloat16 and states.device.type == "cpu":
        query, key, value = parts.contiguous()
        attended = _attend(query, key, value, rows.mask)
    else:
        query, key, value = parts
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=rows.mask)
    attended = rows.taken(attended.transpose(1, 2).flatten(2))
    return F.linear(attended, block.attention_out_weight, block.attention_out_bias)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Compute what torch's `scaled_dot_product_attention` does, which takes ten times as long back in bfloat16."""
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores + torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -math.inf)
    return scores.softmax(-1) @ value


def _attention_of_first(block: Block, states: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """Attend from the first row alone, [B, H], without the keys and values of the other rows.

    With one query q a head, q . (K x_j + k) = (K' q) . x_j + a constant that softmax drops, and
    sum_j p_j (V x_j + v) = V (sum_j p_j x_j) + v: two products with H x H / heads for one row in place of every row.
    """
    batch, _, hidden = states.shape
    size = hidden // heads
    query_weight, *rest = block.attention_in_weight.chunk(3)
    query_bias, _, value_bias = block.attention_in_bias.chunk(3)
    query = F.linear(states[:, 0], query_weight, query_bias).view(batch, heads, size)
    key_weight, value_weight = (part.view(heads, size, hidden) for part in rest)
    asked = torch.einsum("bhs,hsd->bhd", query, key_weight)
    scores = asked @ states.transpose(1, 2) / math.sqrt(size)  # [B, heads, T]
    if mask is not None:
        scores = scores.masked_fill(~mask[:, 0], -math.inf)
    mixed = scores.softmax(-1) @ states  # [B, heads, H]
    attended = torch.einsum("bhd,hsd->bhs", mixed, value_weight).reshape(batch, hidden) + value_bias
    return F.linear(attended, block.attention_out_weight, block.attention_out_bias)
