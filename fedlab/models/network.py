"""A whole model cut in two: the frozen part, computed once a text, and the trained part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.data.tokens import IGNORED_LABEL
from fedlab.models.encoder import Encoder, affine, attention_mask, block_end, block_sum, block_sum_of_first, embed, pool

Kind = Literal["classification", "tagging"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """An encoder and what is read off it: a label a text ([CLS], perhaps through the pooler) or a label a token.

    Sizes: B texts, T tokens, H hidden, C labels. The frozen state of a model of depth d is, for d = 0, what the head
    reads; for d > 0 the sum before the lowest adapter. A classifier of depth 0 or 1 needs [CLS] only, so its frozen
    state has no T.
    """

    encoder: Encoder
    kind: Kind
    pooling: Literal["cls", "pooler"]

    def state_shape(self, depth: int, tokens: int) -> tuple[int, ...]:
        """Return the shape of one text's frozen state: [H] or [T, H]."""
        hidden = self.encoder.shape.hidden
        return (hidden,) if self._only_first_row(depth) else (tokens, hidden)

    @torch.inference_mode()
    def frozen(self, ids: Tensor, lengths: Tensor, depths: Collection[int]) -> dict[int, Tensor]:
        """Compute the frozen states of texts for several depths in one pass: depth to [B, H] or [B, T, H].

        Takes ids [B, T] and lengths [B]. The pass goes no higher than the least depth needs.
        """
        encoder = self.encoder
        mask = attention_mask(lengths, ids.shape[1])
        states, found = embed(encoder, ids), {}
        for index in range(self._first(min(depths)) + 1):
            sums = self._sums(index, states, mask)
            states = block_end(encoder, index, sums, {})
            if (depth := len(encoder.blocks) - index) in depths:
                found[depth] = sums
        if 0 in depths:
            found[0] = self._features(states)
        return found

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int) -> Tensor:
        """Finish the forward pass from the frozen state: [B, C], or [B, T, C] for tagging.

        With parameters of K models stacked along a first dimension, the B texts are K equal parts, one a model.
        """
        features = frozen if depth == 0 else self._trained(frozen, lengths, parameters, depth)
        return affine(features.float(), parameters["head.weight"], parameters["head.bias"])

    def losses(self, logits: Tensor, labels: Tensor, models: int) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED_LABEL)
        counted = (labels != IGNORED_LABEL).view(models, -1).sum(1)
        return each.view(models, -1).sum(1) / counted.clamp(min=1)

    def _trained(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int) -> Tensor:
        first = self._first(depth)
        states = block_end(self.encoder, first, frozen, parameters)
        mask = attention_mask(lengths, states.shape[1]) if depth > 1 else None
        for index in range(first + 1, len(self.encoder.blocks)):
            states = block_end(self.encoder, index, self._sums(index, states, mask), parameters)
        return self._features(states)

    def _sums(self, index: int, states: Tensor, mask: Tensor | None) -> Tensor:
        """Run a block up to its last norm; a classifier's last block gives the first row alone, [B, H]."""
        last = index == len(self.encoder.blocks) - 1
        run = block_sum_of_first if last and self.kind == "classification" else block_sum
        return run(self.encoder, index, states, mask)

    def _features(self, states: Tensor) -> Tensor:
        return pool(self.encoder, states) if self.pooling == "pooler" and self.kind == "classification" else states

    def _first(self, depth: int) -> int:
        return len(self.encoder.blocks) - max(depth, 1)

    def _only_first_row(self, depth: int) -> bool:
        return self.kind == "classification" and depth <= 1
