"""A pre-norm decoder as plain functions of its weights and hidden states (Touvron et al. 2023, arXiv 2302.13971).

Llama, SmolLM2, TinyLlama, Mistral and Qwen2 differ in sizes and in which layers have biases. A block computes
m = h + attention(norm(h)) and then s = m + down(silu(gate(norm(m))) * up(norm(m))), with root-mean-square norms, rotary
position embeddings, and keys and values that several heads share. The last block ends with the model's final norm.

A bottleneck adapter sits where an encoder has it, behind the feed-forward part: a block with an adapter ends with
s + up(relu(down(s))). Texts are padded on the right, and a token attends to those up to it alone, so padding is never
attended to, and a text is the same wherever a tokenizer would put its padding.

Sizes: B texts, T tokens, R rows of these that are computed (`fedlab.models.transformer.unpadded`), H hidden,
I intermediate, D size of a head, N heads, M heads of keys and values.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.base import Inputs, TextRow, TokenIds, affine
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.bottleneck import adapter_names
from fedlab.models.peft.whole_blocks import block_names
from fedlab.models.quantised.base import Weight
from fedlab.models.quantised.named_weights import precision_of
from fedlab.models.transformer.llama import projection_shapes
from fedlab.models.transformer.low_rank import NO_PAIRS, LowRank
from fedlab.models.transformer.unpadded import UnpaddedRows
from fedlab.workload.passes import Precision
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class DecoderBlock:
    """The weights of one block; biases are None where the family has none."""

    input_norm_weight: Tensor  # [H]
    attention_in_weight: Weight  # [(N + 2M) D, H]: query, key, value
    attention_in_bias: Tensor | None = None  # [(N + 2M) D]
    attention_out_weight: Weight  # [H, N D]
    attention_out_bias: Tensor | None = None  # [H]
    middle_norm_weight: Tensor  # [H]
    gate_up_weight: Weight  # [2I, H]: gate, up
    gate_up_bias: Tensor | None = None  # [2I]
    down_weight: Weight  # [H, I]
    down_bias: Tensor | None = None  # [H]


_BLOCK_WEIGHTS = tuple(field.name for field in fields(DecoderBlock))


@dataclass(frozen=True, kw_only=True)
class Heads:
    """How attention is cut into heads, and how these are rotated by position."""

    count: int  # N
    shared: int  # M, of keys and values
    size: int  # D
    frequencies: tuple[float, ...]  # [D / 2], in radians a token
    scaling: float = 1.0  # of the rotated vectors; 1 but for YaRN

    @property
    def widths(self) -> tuple[int, int, int]:
        """Return the number of columns that queries, keys and values have."""
        return self.count * self.size, self.shared * self.size, self.shared * self.size


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """The weights of a decoder: a `fedlab.models.base.Backbone`. The head over the vocabulary is not a part of it."""

    words: Tensor  # [vocabulary, H]
    blocks: tuple[DecoderBlock, ...]
    norm_weight: Tensor  # [H], after the last block
    lm_head: Tensor | None  # [vocabulary, H]; None where the model came without
    tied: bool  # whether `lm_head` is `words`
    heads: Heads
    epsilon: float
    longest: int  # the most tokens a text may have
    shape: ModelShape

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> "Decoder":
        """Put a decoder together from its `tensors` and `facts`."""
        shape = ModelShape(**facts["shape"])
        heads = {**facts["heads"], "frequencies": tuple(facts["heads"]["frequencies"])}
        lm_head = tensors.get("lm_head")
        return cls(
            words=tensors["words"],
            blocks=tuple(_block(tensors, index) for index in range(shape.blocks)),
            norm_weight=tensors["norm_weight"],
            lm_head=tensors["words"] if lm_head is None and facts["tied"] else lm_head,
            tied=facts["tied"],
            heads=Heads(**heads),
            epsilon=facts["epsilon"],
            longest=facts["longest"],
            shape=shape,
        )

    def tensors(self) -> dict[str, Weight]:
        """Return all weights by name; a head over the vocabulary that is the word embeddings is not among them."""
        named: dict[str, Weight | None] = {"words": self.words, "norm_weight": self.norm_weight}
        named |= {"lm_head": None if self.tied else self.lm_head}
        for index, block in enumerate(self.blocks):
            named |= {f"blocks.{index}.{name}": getattr(block, name) for name in _BLOCK_WEIGHTS}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def facts(self) -> dict[str, Any]:
        """Return all the rest as plain values."""
        heads = vars(self.heads) | {"frequencies": list(self.heads.frequencies)}
        rest = {name: getattr(self, name) for name in ("tied", "epsilon", "longest")}
        return rest | {"heads": heads, "shape": dict(vars(self.shape))}

    @property
    def lm_head_weight(self) -> Tensor | None:
        """Return the weight of the head over the vocabulary, [vocabulary, H], in the precision that is computed in.

        It has no bias. It is the word embeddings where the two are tied, and None where the model came without it.
        """
        return self.lm_head

    @property
    def sizes(self) -> EncoderSizes:
        """Return the sizes that the shapes of trained arrays depend on."""
        return EncoderSizes(
            shape=self.shape,
            vocabulary=len(self.words),
            positions=self.longest,
            embedding={},
            projections=projection_shapes(self.shape, self.heads.count, self.heads.shared, self.heads.size),
            biases={
                name: tuple(getattr(self.blocks[0], field).shape)
                for field, name in _BIASES.items()
                if _has(self.blocks[0], field)
            },
            is_decoder=True,
        )

    @property
    def inputs(self) -> type[Inputs]:
        """Return the kind of inputs it takes."""
        return TokenIds

    @property
    def text_row(self) -> TextRow:
        """Return which row stands for a text: the last, as it is the only one that has seen all of it."""
        return "last"

    @property
    def has_pooler(self) -> bool:
        """Tell whether `pool` can be called: it cannot."""
        return False

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
        return precision_of(self.blocks[0].down_weight, self.words)

    def embed(self, inputs: TokenIds) -> Tensor:
        """Return the state that enters block 0, [B, T, H]."""
        return F.embedding(inputs.ids, self.words).to(self.computes_in)

    def block_sum(self, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
        """Run a block without its adapter and the final norm, with pairs beside its matrices: [R, H] to [R, H]."""
        normed = _norm(states, self.blocks[index].input_norm_weight, self.epsilon)
        return self._after_attention(index, states, self._attention(index, normed, rows, pairs), pairs)

    def block_sum_of_text(self, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
        """Run a block likewise for the last token of each text only: [R, H] to [B, H]."""
        return self.block_sum_at(index, states, rows, rows.lasts[:, None], pairs)

    def block_sum_at(
        self, index: int, states: Tensor, rows: UnpaddedRows, places: Tensor, pairs: LowRank = NO_PAIRS
    ) -> Tensor:
        """Run a block likewise for S tokens of each text only, at `places` [B, S] of T: [R, H] to [B S, H]."""
        normed = _norm(states, self.blocks[index].input_norm_weight, self.epsilon)
        attended = self._attention_at(index, normed, rows, places, pairs)
        return self._after_attention(index, rows.at(states, places), attended, pairs)

    def block_end(self, index: int, sums: Tensor, adapters: Mapping[str, Tensor]) -> Tensor:
        """Finish a block: its adapter, if there is one among these, and the final norm behind the last block."""
        down_weight, down_bias, up_weight, up_bias = adapter_names(index)
        if down_weight in adapters:
            inner = F.relu(affine(sums, adapters[down_weight], adapters[down_bias]))
            sums = sums + affine(inner, adapters[up_weight], adapters[up_bias])
        return _norm(sums, self.norm_weight, self.epsilon) if index == len(self.blocks) - 1 else sums

    def pool(self, text_rows: Tensor) -> Tensor:
        """Raise an error: there is no pooler."""
        raise AssertionError("this decoder has no pooler")

    def named_weights(self) -> dict[str, Weight]:
        """Return the weights that can be trained, by the names they travel under: the biases."""
        named: dict[str, Weight] = {}
        for index, block in enumerate(self.blocks):
            named |= {name: getattr(block, field) for field, name in bias_names(index).items() if _has(block, field)}
        return named

    def with_trained(self, parameters: Mapping[str, Tensor]) -> "Decoder":
        """Return the decoder with those of its biases replaced that are among the parameters."""
        blocks = []
        for index, block in enumerate(self.blocks):
            given = {field: parameters[name] for field, name in bias_names(index).items() if name in parameters}
            blocks.append(replace(block, **given) if given else block)
        return replace(self, blocks=tuple(blocks))

    def _after_attention(self, index: int, states: Tensor, attended: Tensor, pairs: LowRank) -> Tensor:
        block, inside = self.blocks[index], self.shape.intermediate
        out = affine(attended, block.attention_out_weight, block.attention_out_bias)
        middle = states + pairs.added(out, attended, index, "o")
        normed = _norm(middle, block.middle_norm_weight, self.epsilon)
        both = affine(normed, block.gate_up_weight, block.gate_up_bias)
        gate, up = pairs.each(both, normed, index, ("gate", "up"), (inside, inside))
        inner = F.silu(gate) * up
        return middle + pairs.added(affine(inner, block.down_weight, block.down_bias), inner, index, "down")

    def _attention(self, index: int, normed: Tensor, rows: UnpaddedRows, pairs: LowRank) -> Tensor:
        """Attend from every row to those up to it, [R, N D]."""
        heads, block = self.heads, self.blocks[index]
        projected = affine(normed, block.attention_in_weight, block.attention_in_bias)
        query, key, value = (  # [B, N, T, D], and twice [B, M, T, D]
            rows.padded(part).view(rows.texts, rows.width, -1, heads.size).transpose(1, 2)
            for part in pairs.each(projected, normed, index, ("q", "k", "v"), heads.widths)
        )
        turned = _rotation(heads, rows.width, query.device, query.dtype)
        query, key = _rotated(query, *turned), _rotated(key, *turned)
        attended = _attend(query, key, value)
        return rows.taken(attended.transpose(1, 2).flatten(2))

    def _attention_at(self, index: int, normed: Tensor, rows: UnpaddedRows, places: Tensor, pairs: LowRank) -> Tensor:
        """Attend from some rows of each text alone, [B S, N D], without the queries of the other rows."""
        heads, block, asking = self.heads, self.blocks[index], rows.at(normed, places)
        cosine, sine = _rotation(heads, rows.width, normed.device, normed.dtype)
        asked, rest = _query_and_rest(block, asking, normed, heads.widths[0])
        asked = pairs.added(asked, asking, index, "q").view(*places.shape, heads.count, heads.size)
        query = _rotated(asked, cosine[places][:, :, None], sine[places][:, :, None]).transpose(1, 2)
        key, value = (
            rows.padded(part).view(rows.texts, rows.width, heads.shared, heads.size).transpose(1, 2)
            for part in pairs.each(rest, normed, index, ("k", "v"), heads.widths[1:])
        )
        # The heads that share keys and values are asked together: [B, M, N / M, S, T].
        grouped = query.reshape(rows.texts, heads.shared, -1, heads.size) / math.sqrt(heads.size)
        scores = grouped @ _rotated(key, cosine, sine).transpose(-1, -2)
        scores = scores.view(rows.texts, heads.shared, -1, places.shape[1], rows.width)
        later = torch.arange(rows.width, device=places.device) > places[:, :, None]
        shares = scores.masked_fill(later[:, None, None], -math.inf).softmax(-1)
        attended: Tensor = (shares.flatten(2, 3) @ value).view(query.shape)
        return attended.transpose(1, 2).flatten(2).flatten(0, 1)


def _query_and_rest(block: DecoderBlock, asking: Tensor, normed: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the queries of the rows that ask, [B S, N D], and the keys and values of all, [R, 2M D]."""
    weight, bias = block.attention_in_weight, block.attention_in_bias
    before, after = (None, None) if bias is None else (bias[..., :width], bias[..., width:])
    return affine(asking, weight[:width], before), affine(normed, weight[width:], after)


def _norm(states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide by the root mean square, in float32, and scale."""
    wide = states.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * scaled.to(states.dtype)


@functools.lru_cache(maxsize=64)
def _rotation(heads: Heads, tokens: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines that rotate the heads at the first `tokens` positions, [T, D] each."""
    with torch.inference_mode(mode=False):
        frequencies = torch.tensor(heads.frequencies, dtype=torch.float32, device=device)
        angles = torch.arange(tokens, dtype=torch.float32, device=device)[:, None] * frequencies
        both = torch.cat((angles, angles), -1)
        return (both.cos() * heads.scaling).to(dtype), (both.sin() * heads.scaling).to(dtype)


def _rotated(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate vectors [..., D] by their positions; element d is paired with element d + D / 2."""
    left, right = states.chunk(2, -1)
    return states * cosine + torch.cat((-right, left), -1) * sine


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend from queries [B, N, T, D] to keys and values [B, M, T, D], which N / M heads share."""
    if query.dtype != torch.bfloat16 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    # What torch's function does takes ten times as long back in bfloat16.
    grouped = query.reshape(len(query), key.shape[1], -1, query.shape[-1]) / math.sqrt(query.shape[-1])
    tokens = query.shape[2]
    scores = (grouped @ key.transpose(-1, -2)).view(*grouped.shape[:2], -1, tokens, tokens)
    later = torch.full((tokens, tokens), -math.inf, dtype=scores.dtype).triu_(1)
    return ((scores + later).softmax(-1).flatten(2, 3) @ value).view(query.shape)


def _block(tensors: Mapping[str, Any], index: int) -> DecoderBlock:
    names = {name: tensors.get(f"blocks.{index}.{name}") for name in _BLOCK_WEIGHTS}
    return DecoderBlock(**{name: tensor for name, tensor in names.items() if tensor is not None})


# What `fedlab.models.peft.whole_blocks` calls the biases of a block, by field of `DecoderBlock`.
_BIASES: Mapping[str, str] = {
    "attention_in_bias": "attention_in_bias",
    "attention_out_bias": "attention_out_bias",
    "gate_up_bias": "up_bias",
    "down_bias": "down_bias",
}


def bias_names(index: int) -> dict[str, str]:
    """Return what the biases of a block are called as arrays, by field of `DecoderBlock`."""
    names = block_names(index)
    return {field: names[name] for field, name in _BIASES.items()}


def _has(block: DecoderBlock, field: str) -> bool:
    return getattr(block, field) is not None
