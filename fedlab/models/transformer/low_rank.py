"""Pairs of low-rank matrices beside frozen ones, of one model or of K models side by side (Hu et al. 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.peft.lora import pair_names


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """What LoRA adds to the projections of blocks: `scale` * b (a x), with a and b among the arrays by name.

    `arrays` may hold others as well. A stack of K pairs is applied part by part: the states are K equal parts. A block
    is called as array names do, which for blocks that share their weights is one name (`Encoder.pairs_name`).
    """

    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    scale: float = 1.0

    def touches(self, block: int | str, roles: Sequence[str]) -> bool:
        """Tell whether a block has a pair for any of these roles."""
        return any(pair_names(block, role)[0] in self.arrays for role in roles)

    def added(self, projected: Tensor, states: Tensor, block: int | str, role: str) -> Tensor:
        """Return a projection [..., O] of states [..., I] with what the pair of its role adds, if there is one."""
        name_a, name_b = pair_names(block, role)
        if name_a not in self.arrays:
            return projected
        first, second = (self.arrays[name].to(states.dtype) for name in (name_a, name_b))
        if first.dim() == 2:
            return torch.add(projected, F.linear(F.linear(states, first), second), alpha=self.scale)
        parts = states.reshape(len(first), -1, states.shape[-1])
        inner = torch.bmm(parts, first.transpose(1, 2))
        base = projected.reshape(len(first), -1, projected.shape[-1])
        return torch.baddbmm(base, inner, second.transpose(1, 2), alpha=self.scale).view(projected.shape)

    def added_to_each(
        self, projected: Tensor, states: Tensor, block: int | str, roles: Sequence[str], sizes: Sequence[int]
    ) -> Tensor:
        """Return several projections of the same states, which lie side by side in [..., sum of sizes], likewise."""
        if not self.touches(block, roles):
            return projected
        return torch.cat(self.each(projected, states, block, roles, sizes), -1)

    def each(
        self, projected: Tensor, states: Tensor, block: int | str, roles: Sequence[str], sizes: Sequence[int]
    ) -> list[Tensor]:
        """Return several projections of the same states, which lie side by side in `projected`, likewise and apart."""
        parts = torch.split(projected, list(sizes), -1)
        return [self.added(part, states, block, role) for part, role in zip(parts, roles, strict=True)]


NO_PAIRS = LowRank()
