"""A post-norm encoder as plain functions of its weights, adapters and hidden states.

BERT, DistilBERT, RoBERTa and ALBERT differ in the names of their weights, in what the embedding adds, in the form of
GELU and in whether the blocks share their weights, so one set of functions runs all of them. Frozen blocks run without
dropout: what they compute for a text is the same every time, which is what lets it be stored
(`fedlab.training.activation_store`).

A block is split where its adapter sits: `block_sum` gives the state s = h + feed_forward(h) before the block's last
layer norm N. A plain block ends with N(s), an adapted one with N(s + up(relu(down(N(s))))). Everything up to the s
of the lowest adapted block is frozen.

Sizes: B texts, T tokens, R rows of these that are computed (`fedlab.models.transformer.unpadded`), H hidden,
E embedding (H in most families), I intermediate.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.base import Inputs, TextRow, TokenIds, affine, shifted
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.bottleneck import adapter_names
from fedlab.models.peft.whole_blocks import EMBEDDING_NAMES, POOLER_NAMES, block_names, shared_blocks
from fedlab.models.quantised.base import QuantisedMatrix, Weight
from fedlab.models.quantised.named_weights import precision_of
from fedlab.models.transformer.family import bias_shapes, projection_shapes
from fedlab.models.transformer.low_rank import NO_PAIRS, LowRank
from fedlab.models.transformer.unpadded import UnpaddedRows
from fedlab.workload.passes import Precision
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class Block:
    """The weights of one transformer block."""

    attention_in_weight: Weight  # [3H, H]: query, key, value
    attention_in_bias: Tensor  # [3H]
    attention_out_weight: Weight  # [H, H]
    attention_out_bias: Tensor  # [H]
    attention_norm_weight: Tensor  # [H]
    attention_norm_bias: Tensor  # [H]
    up_weight: Weight  # [I, H]
    up_bias: Tensor  # [I]
    down_weight: Weight  # [H, I]
    down_bias: Tensor  # [H]
    norm_weight: Tensor  # [H]
    norm_bias: Tensor  # [H]


BLOCK_WEIGHTS = tuple(field.name for field in fields(Block))
TOP_WEIGHTS = (
    *("words", "positions", "token_type", "norm_weight", "norm_bias"),
    *("projection_weight", "projection_bias", "pooler_weight", "pooler_bias"),
)
Adapters = Mapping[str, Tensor]
_ATTENTION_IN = ("q", "k", "v")  # the roles of the parts of `attention_in`


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The weights of an encoder, frozen or parameters: a `fedlab.models.base.Backbone`."""

    words: Tensor  # [vocabulary, E]
    positions: Tensor  # [at least T, E], of the first token of a text on
    token_type: Tensor | None  # [E], of type 0; DistilBERT has none
    norm_weight: Tensor  # [E]
    norm_bias: Tensor  # [E]
    projection_weight: Tensor | None = None  # [H, E], where the embedding has a size of its own
    projection_bias: Tensor | None = None  # [H]
    blocks: tuple[Block, ...]  # one object as many times where all share their weights
    heads: int
    epsilon: float
    gelu: Literal["none", "tanh"] = "none"  # by which function GELU is approximated
    shares_blocks: bool = False
    pooler_weight: Tensor | None  # [H, H]
    pooler_bias: Tensor | None  # [H]
    shape: ModelShape

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Weight], facts: Mapping[str, Any]) -> "Encoder":
        """Put an encoder together from its `tensors` and `facts`."""
        shape = ModelShape(**facts["shape"])
        kept = [_block(tensors, index) for index in range(1 if facts["shares_blocks"] else shape.blocks)]
        top: dict[str, Any] = {name: tensors.get(name) for name in TOP_WEIGHTS}
        rest = {name: facts[name] for name in ("heads", "epsilon", "gelu", "shares_blocks")}
        return cls(**top, **rest, blocks=tuple(kept * (shape.blocks // len(kept))), shape=shape)

    def tensors(self) -> dict[str, Weight]:
        """Return all weights by name; blocks that share weights have them once."""
        named = {name: getattr(self, name) for name in TOP_WEIGHTS}
        for index, block in enumerate(self.blocks[:1] if self.shares_blocks else self.blocks):
            named |= {f"blocks.{index}.{name}": getattr(block, name) for name in BLOCK_WEIGHTS}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def facts(self) -> dict[str, Any]:
        """Return all the rest as plain values."""
        rest = {name: getattr(self, name) for name in ("heads", "epsilon", "gelu", "shares_blocks")}
        return rest | {"shape": vars(self.shape)}

    @property
    def sizes(self) -> EncoderSizes:
        """Return the sizes that the shapes of trained arrays depend on."""
        embedding = {field: getattr(self, field) for field in EMBEDDING_NAMES}
        return EncoderSizes(
            shape=self.shape,
            vocabulary=len(self.words),
            positions=self.longest,
            embedding={field: tuple(tensor.shape) for field, tensor in embedding.items() if tensor is not None},
            projections=projection_shapes(self.shape),
            biases=bias_shapes(self.shape),
            shares_blocks=self.shares_blocks,
        )

    @property
    def inputs(self) -> type[Inputs]:
        """Return the kind of inputs it takes."""
        return TokenIds

    @property
    def text_row(self) -> TextRow:
        """Return which row stands for a text: the first."""
        return "first"

    @property
    def longest(self) -> int:
        """Return the most tokens a text may have."""
        return len(self.positions)

    @property
    def has_pooler(self) -> bool:
        """Tell whether `pool` can be called."""
        return self.pooler_weight is not None

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.words.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision in which states are kept; what computes them may have more (`models.precision`)."""
        return self.words.dtype

    @property
    def computes_in(self) -> torch.dtype:
        """Return the precision of the weights that states are multiplied with."""
        return self.norm_weight.dtype

    @property
    def precision(self) -> Precision:
        """Return the precision of the frozen matrices of its blocks."""
        return precision_of(self.blocks[0].up_weight, self.words)

    def embed(self, inputs: TokenIds) -> Tensor:
        """Return the state that enters block 0, [B, T, H]."""
        return embed(self, inputs.ids)

    def block_sum(self, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
        """Run a block up to the sum before its last norm, with pairs beside its matrices: [R, H] to [R, H]."""
        return block_sum(self, index, states, rows, pairs)

    def block_sum_of_text(self, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
        """Run a block up to that sum for the first token of each text only: [R, H] to [B, H]."""
        return block_sum_of_first(self, index, states, rows, pairs)

    def block_end(self, index: int, sums: Tensor, adapters: Adapters) -> Tensor:
        """Finish a block: its adapter, if it has one, and its last norm."""
        return block_end(self, index, sums, adapters)

    def pool(self, text_rows: Tensor) -> Tensor:
        """Apply the pretrained pooler to the first rows, [B, H]."""
        return pool(self, text_rows)

    def named_weights(self) -> dict[str, Weight]:
        """Return all weights by the names they travel under; blocks that share weights have them once."""
        named = dict(_named(self, EMBEDDING_NAMES))
        for block, names in self._named_blocks():
            named |= _named(block, names)
        return named | dict(_named(self, POOLER_NAMES))

    def with_trained(self, parameters: Mapping[str, Tensor]) -> "Encoder":
        """Return the encoder with those of its weights replaced that are among the parameters."""
        blocks = [_replaced(block, names, parameters) for block, names in self._named_blocks()]
        whole = replace(self, blocks=tuple(blocks * (len(self.blocks) // len(blocks)))) if blocks else self
        return _replaced(whole, {**EMBEDDING_NAMES, **POOLER_NAMES}, parameters)

    def pairs_name(self, index: int) -> int | str:
        """Return what array names call the block at an index, beside whose matrices pairs may lie."""
        return shared_blocks(self.shape.blocks) if self.shares_blocks else index

    def _named_blocks(self) -> list[tuple[Block, dict[str, str]]]:
        """Return the blocks that have weights of their own, with the names that these travel under."""
        if self.shares_blocks:
            return [(self.blocks[0], block_names(shared_blocks(self.shape.blocks)))]
        return [(block, block_names(index)) for index, block in enumerate(self.blocks)]


_Holder = TypeVar("_Holder", Encoder, Block)


def _replaced(holder: _Holder, names: Mapping[str, str], parameters: Mapping[str, Tensor]) -> _Holder:
    fields: dict[str, Any] = {field: parameters[name] for field, name in names.items() if name in parameters}
    return replace(holder, **fields) if fields else holder


def embed(encoder: Encoder, ids: Tensor) -> Tensor:
    """Return the input of block 0, [B, T, H], for token ids [B, T]."""
    positions = encoder.positions[: ids.shape[1]]
    if encoder.token_type is not None:
        positions = positions + encoder.token_type
    states = F.embedding(ids, encoder.words).to(encoder.computes_in) + positions
    states = F.layer_norm(states, states.shape[-1:], encoder.norm_weight, encoder.norm_bias, encoder.epsilon)
    if encoder.projection_weight is None:
        return states
    return F.linear(states, encoder.projection_weight, encoder.projection_bias)


def block_sum(encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
    """Run a block up to the sum before its last norm, with pairs beside its matrices: [R, H] to [R, H]."""
    attended = _attention(encoder, index, states, rows, pairs)
    return _after_attention(encoder, index, states, attended, pairs)


def block_sum_of_first(
    encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS
) -> Tensor:
    """Run a block for the first token of each text only, up to the sum before its last norm: [R, H] to [B, H].

    A classifier reads the first row of the last block and nothing else.
    """
    block, padded = encoder.blocks[index], rows.padded(states)
    first = padded[:, 0]  # taken first: gradients are summed in the reverse order, on which their last digits depend
    weight = block.attention_in_weight
    if (
        isinstance(weight, QuantisedMatrix)
        or pairs.touches(encoder.pairs_name(index), _ATTENTION_IN)
        or block.attention_in_bias.dim() > 1
    ):
        attended = _attention_of_first_by_keys(encoder, index, states, rows, pairs)
    else:
        attended = _attention_of_first(weight, block.attention_in_bias, padded, rows.mask, encoder.heads)
    return _after_attention(encoder, index, first, attended, pairs)


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


def pool(encoder: Encoder, first_rows: Tensor) -> Tensor:
    """Apply the pretrained pooler to [CLS] rows [B, H]."""
    assert encoder.pooler_weight is not None, "this encoder has no pooler"
    assert encoder.pooler_bias is not None, "a pooler has both"
    return torch.tanh(affine(first_rows, encoder.pooler_weight, encoder.pooler_bias))


def _norm(states: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    if bias.dim() == 1:
        return F.layer_norm(states, states.shape[-1:], weight, bias.to(weight.dtype), epsilon)
    return shifted(F.layer_norm(states, states.shape[-1:], weight, None, epsilon), bias)


def _after_attention(encoder: Encoder, index: int, states: Tensor, attended: Tensor, pairs: LowRank) -> Tensor:
    """Finish a block behind its attention, [R, H], which its out-projection has not been applied to."""
    block, named = encoder.blocks[index], encoder.pairs_name(index)
    out = affine(attended, block.attention_out_weight, block.attention_out_bias)
    summed = states + pairs.added(out, attended, named, "o")
    middle = _norm(summed, block.attention_norm_weight, block.attention_norm_bias, encoder.epsilon)
    up = pairs.added(affine(middle, block.up_weight, block.up_bias), middle, named, "up")
    inner = F.gelu(up, approximate=encoder.gelu)
    return middle + pairs.added(affine(inner, block.down_weight, block.down_bias), inner, named, "down")


def _attention(encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank) -> Tensor:
    """Attend from every row to every row of its text, [R, H]."""
    block, hidden = encoder.blocks[index], states.shape[-1]
    projected = affine(states, block.attention_in_weight, block.attention_in_bias)
    named = encoder.pairs_name(index)
    padded = rows.padded(pairs.added_to_each(projected, states, named, _ATTENTION_IN, (hidden,) * 3))
    # Each is [B, heads, T, H / heads].
    parts = padded.view(rows.texts, rows.width, 3, encoder.heads, -1).permute(2, 0, 3, 1, 4)
    if states.dtype == torch.bfloat16 and states.device.type == "cpu":
        query, key, value = parts.contiguous()
        attended = _attend(query, key, value, rows.mask)
    else:
        query, key, value = parts
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=rows.mask)
    return rows.taken(attended.transpose(1, 2).flatten(2))


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Compute what torch's `scaled_dot_product_attention` does, which takes ten times as long back in bfloat16."""
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores + torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -math.inf)
    return scores.softmax(-1) @ value


def _attention_of_first(weight: Tensor, bias: Tensor, states: Tensor, mask: Tensor | None, heads: int) -> Tensor:
    """Attend from the first row alone, [B, H], without the keys and values of the other rows.

    With one query q a head, q . (K x_j + k) = (K' q) . x_j + a constant that softmax drops, and
    sum_j p_j (V x_j + v) = V (sum_j p_j x_j) + v: two products with H x H / heads for one row in place of every row.
    """
    batch, _, hidden = states.shape
    size = hidden // heads
    query_weight, *rest = weight.chunk(3)
    query_bias, _, value_bias = bias.chunk(3)
    query = F.linear(states[:, 0], query_weight, query_bias).view(batch, heads, size)
    key_weight, value_weight = (part.view(heads, size, hidden) for part in rest)
    asked = torch.einsum("bhs,hsd->bhd", query, key_weight)
    scores = asked @ states.transpose(1, 2) / math.sqrt(size)  # [B, heads, T]
    if mask is not None:
        scores = scores.masked_fill(~mask[:, 0], -math.inf)
    mixed = scores.softmax(-1) @ states  # [B, heads, H]
    return torch.einsum("bhd,hsd->bhs", mixed, value_weight).reshape(batch, hidden) + value_bias


def _attention_of_first_by_keys(
    encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank
) -> Tensor:
    """Attend from the first row alone, [B, H], where the products are not plain ones.

    Their weights are quantised, or have pairs beside them, or their biases are not the same for all texts.
    """
    block, hidden, heads = encoder.blocks[index], states.shape[-1], encoder.heads
    named = encoder.pairs_name(index)
    weight, bias, first = block.attention_in_weight, block.attention_in_bias, rows.padded(states)[:, 0]
    asked = pairs.added(affine(first, weight[:hidden], bias[..., :hidden]), first, named, "q")
    rest = affine(states, weight[hidden:], bias[..., hidden:])
    rest = rows.padded(pairs.added_to_each(rest, states, named, _ATTENTION_IN[1:], (hidden, hidden)))
    key, value = rest.view(rows.texts, rows.width, 2, heads, -1).permute(2, 0, 3, 1, 4)
    attended = _attend(asked.view(rows.texts, heads, 1, -1), key, value, rows.mask)
    return attended.reshape(rows.texts, hidden)


def _block(tensors: Mapping[str, Weight], index: int) -> Block:
    named: dict[str, Any] = {name: tensors[f"blocks.{index}.{name}"] for name in BLOCK_WEIGHTS}
    return Block(**named)


def _named(holder: object, names: Mapping[str, str]) -> Iterator[tuple[str, Weight]]:
    """Yield the weights that are there by the names they travel under."""
    for field, name in names.items():
        tensor = getattr(holder, field)
        if tensor is not None:
            yield name, tensor
