"""LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685): pairs beside the matrices of the top blocks, and the head.

The protocol. Blocks are counted from 0 at the input; r is the rank, R a role (q, k, v, o, gate, up, down) whose matrix
has O outputs and I inputs. All arrays are float32, in this order, and the head (`fedlab.models.peft.head`) follows.

| name               | shape  | present                                             |
|--------------------|--------|-----------------------------------------------------|
| `block.B.lora.R.a` | [r, I] | for each of the top `depth` blocks, and each target |
| `block.B.lora.R.b` | [O, r] | "                                                   |

Where all blocks share their weights (ALBERT) there is one pair beside a matrix, which is in all runs of the block, as
in the library PEFT: `block.0-11.lora.q.a`. So `depth` is then 0 or all blocks.

A pair adds `alpha / r * b (a x)` to its matrix's output for x, as in the library PEFT.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.config.plugins import nearest
from fedlab.errors import UserError
from fedlab.models.families import families
from fedlab.models.peft.base import SET, BackboneWeights, ModelSizes, SplitPoint, TrainableSet, check_axis, check_depth
from fedlab.models.peft.bottleneck import carried_over, merge
from fedlab.models.peft.head import draw_head, shapes_of_head
from fedlab.models.peft.whole_blocks import own_blocks
from fedlab.workload.passes import TrainedSpec
from fedlab.workload.workload import Configuration

ROLES = ("q", "k", "v", "o", "gate", "up", "down")  # of a block's matrices, in the order in which pairs travel


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Pairs of `rank` beside the `targets` of the top `depth` blocks, and the head; depth 0 is the head alone.

    `targets` are names with commas between them: roles, or names of modules as transformers has them for the backbone's
    family, such as q_proj, or query and dense. `rank` is kept at depth 0 as well, for the first pairs.
    """

    depth: int
    rank: int = 8
    alpha: int = 16
    targets: str = "q,v"

    def __post_init__(self) -> None:
        check_axis("depth", self.depth, least=0)
        check_axis("rank", self.rank, least=1)
        check_axis("alpha", self.alpha, least=1)
        known = _roles_by_name()
        if not isinstance(self.targets, str):
            raise TypeError(f"targets {self.targets!r}, expected names with commas between them, such as 'q,v'")
        for name in self.names:
            if name not in known:
                raise ValueError(f"targets '{name}': {nearest(name, known)}")

    def __str__(self) -> str:
        return f"({self.depth}, rank {self.rank})"

    @property
    def names(self) -> list[str]:
        """Return the targets as they are named."""
        return [name.strip() for name in self.targets.split(",")]

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles of the targets, in the order in which pairs travel."""
        known = _roles_by_name()
        found = {role for name in self.names for role in known[name]}
        return tuple(role for role in ROLES if role in found)

    @property
    def scale(self) -> float:
        """Return what pairs are multiplied by."""
        return self.alpha / self.rank

    @property
    def configuration(self) -> Configuration:
        """Return the set's name and its axes."""
        axes = {"depth": self.depth, "rank": self.rank, "alpha": self.alpha}
        return {SET: "lora", **axes, "targets": self.targets}

    @property
    def spec(self) -> TrainedSpec:
        """Return pairs of this rank beside the matrices of these roles."""
        return TrainedSpec(kind="lora", rank=self.rank, targets=self.roles)

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the shapes of pairs and head.

        Raises:
            UserError: the backbone has no such matrix or fewer blocks, or the rank is above that of a matrix.
        """
        return self._pair_shapes(sizes) | shapes_of_head(sizes)

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Draw new pairs and a head; each second matrix is zero, so that the pairs change nothing yet."""
        return self._new_pairs(sizes, generator) | draw_head(sizes, generator)

    def split_point(self, blocks: int) -> SplitPoint:
        """Return the split at the input of the lowest block with pairs; at depth 0, at what the head reads."""
        check_depth("lora", self.depth, blocks)
        if not self.depth:
            return SplitPoint(kind="features", block=blocks)
        return SplitPoint(kind="partial_block", block=blocks - self.depth, scale=self.scale)

    @property
    def size_axis(self) -> str:
        """Return the name of the axis of size."""
        return "rank"

    def most_size(self, sizes: ModelSizes) -> int:
        """Return the largest rank: that of the smallest matrix."""
        return min(min(sizes.transformer.projections[role]) for role in self.roles)

    def grow(
        self, arrays: Mapping[str, np.ndarray], to: "Lora", *, sizes: ModelSizes, generator: np.random.Generator
    ) -> Arrays:
        """Return the arrays of a model with pairs in more blocks or of a higher rank that computes the same function.

        `arrays` are those of this set. New rows of a first matrix are drawn, new columns of a second one are zero. What
        was there is scaled by as much as the factor alpha / rank falls.
        """
        assert to.depth >= self.depth, f"cannot shrink depth {self.depth} to {to.depth}"
        assert to.rank >= self.rank, f"cannot shrink rank {self.rank} to {to.rank}"
        return carried_over(to._rescaled(self, arrays), to._new_pairs(sizes, generator))

    def merge(
        self,
        arrays: Mapping[str, np.ndarray],
        weight: float,
        others: Sequence[tuple[TrainableSet, Mapping[str, np.ndarray], float]],
    ) -> Arrays:
        """Average a model with others that have grown from the same one, as `fedlab.models.peft.bottleneck.merge`."""
        return merge(arrays, weight, [(self._rescaled(other, theirs), share) for other, theirs, share in others])

    def _rescaled(self, other: TrainableSet, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return another set's arrays as they would be with this set's factor."""
        assert isinstance(other, Lora), "all groups of a trial train the same kind of set"
        factor = np.float32(other.scale / self.scale)
        return {name: array * factor if name.endswith(".b") else array for name, array in arrays.items()}

    def _pair_shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        check_depth("lora", self.depth, sizes.blocks)
        self._check_targets(sizes)
        shapes: dict[str, Shape] = {}
        accepted = f"client.depth = 0 or {sizes.blocks}, or the set bottleneck"
        for block in own_blocks(sizes, self.depth, place="client.trains = 'lora'", accepted=accepted):
            for role in self.roles:
                outputs, inputs = sizes.transformer.projections[role]
                first, second = pair_names(block, role)
                shapes |= {first: (self.rank, inputs), second: (outputs, self.rank)}
        return shapes

    def _check_targets(self, sizes: ModelSizes) -> None:
        encoder = sizes.transformer
        family = encoder.shape.family
        known = {
            name: roles
            for name, roles in families()[family].targets.items()
            if set(roles) <= encoder.projections.keys()
        }
        for name in self.names:
            if name not in known:
                raise UserError(f"client.axes.targets: a {family} has no '{name}': {nearest(name, known)}")
            for role in known[name]:
                most = min(encoder.projections[role])
                if self.rank > most:
                    raise UserError(
                        f"client.axes.rank = {self.rank}: the matrix of '{name}' has rank {most}; accepted: 1 to {most}"
                    )

    def _new_pairs(self, sizes: ModelSizes, generator: np.random.Generator) -> Arrays:
        arrays: Arrays = {}
        for name, shape in self._pair_shapes(sizes).items():
            if name.endswith(".a"):  # as PEFT draws it: Kaiming's uniform draws with a slope of sqrt(5)
                bound = 1 / math.sqrt(shape[1])
                arrays[name] = generator.uniform(-bound, bound, shape).astype(np.float32)
            else:
                arrays[name] = np.zeros(shape, np.float32)
        return arrays


def pair_names(block: int | str, role: str) -> tuple[str, str]:
    """Return the names of a pair: of the matrix that is applied first, and of the second."""
    return f"block.{block}.lora.{role}.a", f"block.{block}.lora.{role}.b"


@functools.cache
def _roles_by_name() -> Mapping[str, tuple[str, ...]]:
    """Return the roles that each name of a target stands for in any family; no two families contradict each other."""
    return {name: tuple(roles) for family in families().values() for name, roles in family.targets.items()}
