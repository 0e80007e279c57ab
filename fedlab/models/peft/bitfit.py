"""BitFit (Ben Zaken et al. 2022, https://arxiv.org/abs/2106.10199): the biases of the top blocks, and the head.

The protocol. The arrays are those of whole blocks (`fedlab.models.peft.whole_blocks`) that are biases, in that order,
and the head (`fedlab.models.peft.head`) follows. They begin with the pretrained biases. Where all blocks share their
weights, they have one set of biases, so that `depth` is 0 or all blocks.
"""

from dataclasses import dataclass

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.errors import UserError
from fedlab.models.peft.base import SET, BackboneWeights, ModelSizes, SplitPoint, check_axis, check_depth
from fedlab.models.peft.head import draw_head, shapes_of_head
from fedlab.models.peft.whole_blocks import block_names, own_blocks
from fedlab.workload.passes import TrainedSpec
from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class Biases:
    """Train the biases of the top `depth` blocks, and the head."""

    depth: int

    def __post_init__(self) -> None:
        check_axis("depth", self.depth, least=0)

    @property
    def configuration(self) -> Configuration:
        """Return the set's name and its axis."""
        return {SET: "bias", "depth": self.depth}

    @property
    def spec(self) -> TrainedSpec:
        """Return biases."""
        return TrainedSpec(kind="bias")

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the shapes of biases and head.

        Raises:
            UserError: the backbone has no biases, or no blocks of its own, or fewer than these.
        """
        return self._bias_shapes(sizes) | shapes_of_head(sizes)

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Return the pretrained biases and a new head."""
        names = list(self._bias_shapes(sizes))
        found = weights(names) if names else {}
        return {name: found[name] for name in names} | draw_head(sizes, generator)

    def split_point(self, blocks: int) -> SplitPoint:
        """Return the split at the input of the lowest block; at depth 0, at what the head reads."""
        check_depth("bias", self.depth, blocks)
        return SplitPoint(kind="partial_block" if self.depth else "features", block=blocks - self.depth)

    def _bias_shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        check_depth("bias", self.depth, sizes.blocks)
        family, biases = sizes.transformer.shape.family, sizes.transformer.biases
        if self.depth and not biases:
            raise UserError(f"client.trains = 'bias': this {family} has no biases; accepted: lora, bottleneck or head")
        accepted = f"client.depth = 0 or {sizes.blocks}, or the set bottleneck"
        top = own_blocks(sizes, self.depth, place="client.trains = 'bias'", accepted=accepted)
        return {block_names(block)[field]: shape for block in top for field, shape in biases.items()}
