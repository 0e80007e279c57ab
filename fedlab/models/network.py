"""A whole model cut in two: the frozen part, computed once a text, and the trained part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.arrays import Arrays
from fedlab.models.encoder import Encoder, attention_mask, block_end, block_sum, embed, finish, pool

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
        encoder, top = self.encoder, len(self.encoder.blocks) - 1
        mask = attention_mask(lengths, ids.shape[1])
        states, found = embed(encoder, ids), {}
        for index in range(self._first(min(depths)) + 1):
            rows = 1 if index == top and self.kind == "classification" else None
            sums = block_sum(encoder, index, states, mask, rows=rows)
            states = block_end(encoder, index, sums, {})
            if top + 1 - index in depths:
                found[top + 1 - index] = sums[:, 0] if rows else sums
            if index == top and 0 in depths:
                found[0] = self._features(states)
        return found

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int) -> Tensor:
        """Finish the forward pass from the frozen state: [B, C], or [B, T, C] for tagging."""
        features = frozen if depth == 0 else self._trained(frozen, lengths, parameters, depth)
        return F.linear(features, parameters["head.weight"], parameters["head.bias"])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy over texts, or over the tokens whose label is not -100."""
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten())

    def _trained(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int) -> Tensor:
        sums = frozen[:, None] if frozen.dim() == 2 else frozen
        mask = attention_mask(lengths, sums.shape[1]) if depth > 1 else None
        rows = 1 if self.kind == "classification" else None
        states = finish(self.encoder, sums, mask, parameters, first=self._first(depth), rows=rows)
        return self._features(states)

    def _features(self, states: Tensor) -> Tensor:
        if self.kind == "tagging":
            return states
        return pool(self.encoder, states[:, 0]) if self.pooling == "pooler" else states[:, 0]

    def _first(self, depth: int) -> int:
        return len(self.encoder.blocks) - max(depth, 1)

    def _only_first_row(self, depth: int) -> bool:
        return self.kind == "classification" and depth <= 1


def parameters_of(arrays: Mapping[str, np.ndarray], *, device: torch.device | None = None) -> dict[str, Tensor]:
    """Return leaf tensors to be trained, copies of the arrays."""
    tensors = {name: torch.tensor(array, device=device) for name, array in arrays.items()}
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def arrays_of(parameters: Mapping[str, Tensor]) -> Arrays:
    """Return the parameters as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in parameters.items()}
