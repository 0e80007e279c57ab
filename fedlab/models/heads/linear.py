"""A linear layer over labels, which is what classification and tagging share."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from fedlab.data.tokens import IGNORED_LABEL
from fedlab.models.base import Reads, affine


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """A head of `head.weight` [C, H] and, if there is one, `head.bias` [C], computed in float32."""

    reads: Reads

    def logits(self, features: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the logits [..., C] of features [..., H]; of K stacked heads the features are K equal parts."""
        return affine(features.float(), parameters["head.weight"], parameters.get("head.bias"))

    def loss(self, features: Tensor, labels: Tensor, parameters: Mapping[str, Tensor], models: int) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        return self.losses(self.logits(features, parameters), labels, models)

    def losses(self, logits: Tensor, labels: Tensor, models: int) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED_LABEL)
        counted = (labels != IGNORED_LABEL).view(models, -1).sum(1)
        return each.view(models, -1).sum(1) / counted.clamp(min=1)
