"""The frozen head over the vocabulary: the guess of the token that follows each token of a text.

Logits over a vocabulary take more memory than all else: 49,152 numbers a token for SmolLM2, and a response may have
three tokens of a hundred. So they are computed for the tokens that count alone, a few rows at a time. As the head is
frozen, the gradient of a row is known as soon as its logits are, and the logits need not be kept for the way back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.data.tokens import IGNORED_LABEL
from fedlab.models.base import Reads

_ROWS = 128  # whose logits are in memory at once


@dataclass(frozen=True, kw_only=True)
class NextTokenHead:
    """A head without arrays of its own: `weight` [V, H] is the backbone's, often its word embeddings.

    The labels of a text, [B, T], are the tokens that follow each, -100 where they do not count.
    """

    weight: Tensor

    @property
    def reads(self) -> Reads:
        """Return which rows of a text it reads."""
        return "every"

    def logits(self, features: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the logits [..., V] of features [..., H], in float32."""
        return _logits(features, self.weight)

    def loss(self, features: Tensor, labels: Tensor, parameters: Mapping[str, Tensor], models: int) -> Tensor:
        """Return each model's cross-entropy, the mean over the tokens that count in its part of the texts: [K]."""
        counts = labels != IGNORED_LABEL
        each: Tensor = _FrozenHeadLoss.apply(features[counts], self.weight, labels[counts])  # type: ignore[no-untyped-call]
        owners = counts.nonzero()[:, 0] // max(1, len(labels) // models)
        sums = torch.zeros(models, device=each.device).index_add(0, owners, each)
        return sums / torch.bincount(owners, minlength=models).clamp(min=1)

    def guesses(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return of each text the sum of negative log likelihoods, how many guesses are right and count: [B, 3]."""
        counts = labels != IGNORED_LABEL
        found = torch.zeros(len(labels), 3, dtype=torch.float64, device=labels.device)
        texts = counts.nonzero()[:, 0]
        for rows, logits in _in_chunks(features[counts], self.weight):
            targets = labels[counts][rows]
            losses = F.cross_entropy(logits, targets, reduction="none")
            right = logits.argmax(-1) == targets
            guessed = torch.stack([losses.double(), right.double(), torch.ones_like(losses).double()], dim=1)
            found.index_add_(0, texts[rows], guessed)
        return found

    def likelihoods(self, features: Tensor, labels: Tensor, tokens: Tensor) -> Tensor:
        """Return the log likelihoods [B, S, C] of tokens [S, C]: in row s, those that follow the text's s-th label.

        A text with fewer labels has zeros behind its last one.
        """
        counts = labels != IGNORED_LABEL
        found = torch.zeros(len(labels), *tokens.shape, dtype=torch.float64, device=labels.device)
        texts, places = counts.nonzero().T
        steps = places - counts.int().argmax(1)[texts]
        for rows, logits in _in_chunks(features[counts], self.weight):
            likely = logits.double().log_softmax(-1).gather(1, tokens[steps[rows]])
            found[texts[rows], steps[rows]] = likely
        return found


def scored_places(labels: Tensor) -> Tensor:
    """Return the places [B, S] in texts [B, T] of the tokens whose label counts, in order; S is the most of a text.

    A text with fewer is filled up with places that do not count. S is at least 1.
    """
    counts = labels != IGNORED_LABEL
    most = max(1, int(counts.sum(1).max()))
    return counts.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, :most]


class _FrozenHeadLoss(torch.autograd.Function):
    """The cross-entropy of each row of features, whose gradient is computed with it, a few rows at a time."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        losses = torch.empty(len(features), device=features.device)
        gradients = torch.empty_like(features)
        for rows, logits in _in_chunks(features, weight):
            losses[rows] = F.cross_entropy(logits, targets[rows], reduction="none")
            if ctx.needs_input_grad[0]:
                shares = logits.softmax(-1)
                shares[torch.arange(len(shares), device=shares.device), targets[rows]] -= 1
                gradients[rows] = (shares.to(weight.dtype) @ weight).to(features.dtype)
        ctx.save_for_backward(gradients)
        ctx.save_for_forward(features, weight, targets)
        return losses

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * upstream[0][:, None].to(gradients.dtype), None, None

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> Tensor:
        """Return how the losses change with the features, in forward-mode differentiation."""
        features, weight, targets = ctx.saved_tensors
        found = torch.empty(len(features), device=features.device)
        logits_of, changes_of = _in_chunks(features, weight), _in_chunks(changes[0], weight)
        for (rows, logits), (_, moved) in zip(logits_of, changes_of, strict=True):
            places = torch.arange(len(logits), device=logits.device)
            found[rows] = (logits.softmax(-1) * moved).sum(-1) - moved[places, targets[rows]]
        return found


def _in_chunks(features: Tensor, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, len(features), _ROWS):
        rows = slice(start, start + _ROWS)
        yield rows, _logits(features[rows], weight)


def _logits(features: Tensor, weight: Tensor) -> Tensor:
    return F.linear(features.to(weight.dtype), weight).float()
