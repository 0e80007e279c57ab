"""Greedy generation: a decoder continues texts token by token, and keeps the keys and values of the tokens before.

Texts of a batch begin at position 0 and have lengths of their own. What a token writes to its place of the cache is
read by that token and those behind it alone, so the padding behind a prompt is never read: tokens that are generated
replace it. Pairs of LoRA are added to the matrices first, once for all tokens; where the matrices are quantised, which
a sum would have to be again, they stay beside them.

Sizes: B texts, S tokens of each that are computed at once, L the longest text with what is generated, H hidden,
N heads, M heads of keys and values, D size of a head.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.base import TokenIds, affine
from fedlab.models.peft.base import SplitPoint
from fedlab.models.peft.lora import ROLES, pair_names
from fedlab.models.quantised.named_weights import QUANTISED
from fedlab.models.transformer.decoder import Decoder, DecoderBlock, Heads
from fedlab.models.transformer.low_rank import LowRank

_BATCH = 16
# Which weight of a block has the matrix of a role.
_WEIGHTS: Mapping[str, str] = {
    **dict.fromkeys(("q", "k", "v"), "attention_in_weight"),
    "o": "attention_out_weight",
    **dict.fromkeys(("gate", "up"), "gate_up_weight"),
    "down": "down_weight",
}


@dataclass(frozen=True, kw_only=True)
class GreedyGeneration:
    """What a decoder generates with: at most `new_tokens` a text, up to one of the tokens `ends`.

    `parameters` are trained arrays of a model that is split `at` a point.
    """

    decoder: Decoder
    parameters: Mapping[str, Tensor]
    at: SplitPoint
    new_tokens: int
    ends: Collection[int]

    @torch.inference_mode()
    def continued(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return what follows each prompt, without the token that ends it; a text never exceeds the longest allowed."""
        decoder, trained = self._trained()
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        found: dict[int, list[int]] = {}
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            found |= zip(places, self._batch(decoder, trained, [prompts[place] for place in places]), strict=True)
        return [found[place] for place in range(len(prompts))]

    def _trained(self) -> tuple[Decoder, LowRank]:
        """Return the decoder with what is added to it once, and what is left to add in every pass."""
        decoder = self.decoder.with_trained(self.parameters)
        if decoder.precision in QUANTISED:
            return decoder, LowRank(arrays=self.parameters, scale=self.at.scale)
        pairs = {name for index in range(len(decoder.blocks)) for role in ROLES for name in pair_names(index, role)}
        rest = {name: array for name, array in self.parameters.items() if name not in pairs}
        return with_pairs(decoder, self.parameters, self.at), LowRank(arrays=rest)

    def _batch(self, decoder: Decoder, trained: LowRank, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        device, longest = decoder.device, max(map(len, prompts))
        room = min(self.new_tokens, decoder.longest - longest)
        ids = torch.tensor([[*each, *[0] * (longest - len(each))] for each in prompts], device=device)
        lengths = torch.tensor([len(each) for each in prompts], device=device)
        cache = KeyValueCache.empty(decoder, len(prompts), longest + max(room, 0))
        positions = torch.arange(longest, device=device).expand(len(prompts), -1)
        written: list[list[int]] = [[] for _ in prompts]
        going = [True] * len(prompts)
        last = lengths - 1
        for step in range(room):
            states = _run(decoder, ids, positions, cache, trained)
            rows = states[torch.arange(len(ids), device=device), last]
            ids = self._next(decoder, rows)[:, None]
            going = _noted(written, ids[:, 0].tolist(), going, self.ends)
            if not any(going):
                break
            positions, last = (lengths + step)[:, None], torch.zeros_like(lengths)
        return written

    def _next(self, decoder: Decoder, rows: Tensor) -> Tensor:
        weight = decoder.lm_head_weight
        assert weight is not None, "a language task is refused for a backbone without this head"
        return F.linear(rows.to(weight.dtype), weight).float().argmax(-1)


@dataclass(frozen=True, kw_only=True)
class KeyValueCache:
    """The keys and values of each block, [B, M, L, D]."""

    keys: Sequence[Tensor]
    values: Sequence[Tensor]

    @classmethod
    def empty(cls, decoder: Decoder, texts: int, longest: int) -> "KeyValueCache":
        """Return room for a number of texts of a length."""
        shape = (texts, decoder.heads.shared, longest, decoder.heads.size)
        blocks = range(len(decoder.blocks))
        keys, values = (
            [torch.zeros(shape, dtype=decoder.computes_in, device=decoder.device) for _ in blocks] for _ in range(2)
        )
        return cls(keys=keys, values=values)


def with_pairs(decoder: Decoder, parameters: Mapping[str, Tensor], at: SplitPoint) -> Decoder:
    """Return a decoder to whose matrices the pairs of LoRA among the parameters are added; all else is shared."""
    blocks = [_with_pairs(block, index, decoder, parameters, at) for index, block in enumerate(decoder.blocks)]
    return replace(decoder, blocks=tuple(blocks))


def _with_pairs(
    block: DecoderBlock, index: int, decoder: Decoder, parameters: Mapping[str, Tensor], at: SplitPoint
) -> DecoderBlock:
    changed: dict[str, Tensor] = {}
    for role in ROLES:
        first, second = pair_names(index, role)
        if first not in parameters:
            continue
        name = _WEIGHTS[role]
        weight = changed.setdefault(name, getattr(block, name).float().clone())
        rows = _rows_of(role, decoder.heads, len(weight))
        weight[rows] += at.scale * (parameters[second].float() @ parameters[first].float())
    kept = {name: weight.to(getattr(block, name).dtype) for name, weight in changed.items()}
    return replace(block, **kept) if kept else block


def _rows_of(role: str, heads: Heads, rows: int) -> slice:
    """Return which rows of a weight are the matrix of a role."""
    asked, shared = heads.count * heads.size, heads.shared * heads.size
    starts = {
        "q": (0, asked),
        "k": (asked, asked + shared),
        "v": (asked + shared, asked + 2 * shared),
        "gate": (0, rows // 2),
        "up": (rows // 2, rows),
    }
    return slice(*starts.get(role, (0, rows)))


def _run(decoder: Decoder, ids: Tensor, positions: Tensor, cache: KeyValueCache, trained: LowRank) -> Tensor:
    """Return the last states [B, S, H] of tokens [B, S] at positions [B, S], and keep their keys and values."""
    states = decoder.embed(TokenIds(ids=ids, lengths=positions[:, -1] + 1))
    turned = _turns(decoder.heads, positions, states.dtype)
    for index, block in enumerate(decoder.blocks):
        attended = _attended(decoder, index, states, positions, turned, cache, trained)
        out = affine(attended, block.attention_out_weight, block.attention_out_bias)
        middle = states + trained.added(out, attended, index, "o")
        normed = _norm(middle, block.middle_norm_weight, decoder.epsilon)
        both = affine(normed, block.gate_up_weight, block.gate_up_bias)
        sizes = (decoder.shape.intermediate,) * 2
        gate, up = trained.added_to_each(both, normed, index, ("gate", "up"), sizes).chunk(2, -1)
        inner = F.silu(gate) * up
        down = affine(inner, block.down_weight, block.down_bias)
        states = decoder.block_end(index, middle + trained.added(down, inner, index, "down"), trained.arrays)
    return states


def _attended(
    decoder: Decoder,
    index: int,
    states: Tensor,
    positions: Tensor,
    turned: tuple[Tensor, Tensor],
    cache: KeyValueCache,
    trained: LowRank,
) -> Tensor:
    heads, block, keys, values = decoder.heads, decoder.blocks[index], cache.keys[index], cache.values[index]
    normed = _norm(states, block.input_norm_weight, decoder.epsilon)
    projected = affine(normed, block.attention_in_weight, block.attention_in_bias)
    projected = trained.added_to_each(projected, normed, index, ("q", "k", "v"), heads.widths)
    parts = projected.view(*projected.shape[:2], -1, heads.size).transpose(1, 2)
    query, key, value = torch.split(parts, [heads.count, heads.shared, heads.shared], dim=1)
    places = positions[:, None, :, None].expand(-1, heads.shared, -1, heads.size)
    keys.scatter_(2, places, _turned(key, turned))
    values.scatter_(2, places, value)
    shared = heads.count // heads.shared
    seen = torch.arange(keys.shape[2], device=keys.device) <= positions[:, None, :, None]  # [B, 1, S, L]
    attended = F.scaled_dot_product_attention(
        _turned(query, turned),
        keys.repeat_interleave(shared, dim=1),
        values.repeat_interleave(shared, dim=1),
        attn_mask=seen,
    )
    return attended.transpose(1, 2).flatten(2)


def _turns(heads: Heads, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines by which heads are rotated, [B, 1, S, D] each."""
    frequencies = torch.tensor(heads.frequencies, dtype=torch.float32, device=positions.device)
    angles = positions[:, None, :, None].float() * frequencies
    both = torch.cat((angles, angles), -1)
    return (both.cos() * heads.scaling).to(dtype), (both.sin() * heads.scaling).to(dtype)


def _turned(states: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    left, right = states.chunk(2, -1)
    return states * turns[0] + torch.cat((-right, left), -1) * turns[1]


def _norm(states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return weight * F.rms_norm(states.float(), states.shape[-1:], eps=epsilon).to(states.dtype)


def _noted(written: list[list[int]], tokens: Sequence[int], going: Sequence[bool], ends: Collection[int]) -> list[bool]:
    """Add a token to each text that goes on; return which texts still do."""
    goes = [each and token not in ends for each, token in zip(going, tokens, strict=True)]
    for text, token, on in zip(written, tokens, goes, strict=True):
        if on:
            text.append(token)
    return goes
