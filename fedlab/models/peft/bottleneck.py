"""Bottleneck adapters in the top blocks, and the head (Houlsby et al. 2019; here as AdaFL has them).

The protocol. Blocks are counted from 0 at the input; H is the hidden size, W the adapter's width. All arrays are
float32, in this order, and the head (`fedlab.models.peft.head`) follows.

| name                  | shape  | present                           |
|-----------------------|--------|-----------------------------------|
| `block.I.down.weight` | [W, H] | for each of the top `depth` blocks |
| `block.I.down.bias`   | [W]    | "                                 |
| `block.I.up.weight`   | [H, W] | "                                 |
| `block.I.up.bias`     | [H]    | "                                 |

An adapter adds `up(relu(down(x)))` to the output of its block's feed-forward part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.models.peft.base import SET, BackboneWeights, ModelSizes, SplitPoint, TrainableSet, check_axis, check_depth
from fedlab.models.peft.head import draw_arrays, draw_head, draw_normal, head_shapes, shapes_of_head
from fedlab.workload.passes import TrainedSpec, bottleneck
from fedlab.workload.workload import Configuration

_WIDEST = 65_536


@dataclass(frozen=True, kw_only=True)
class Bottleneck:
    """Adapters of `width` bottleneck units in the top `depth` blocks, and the head; depth 0 is the head alone.

    `width` is kept at depth 0 as well: it is the width the first adapters will have.
    """

    depth: int
    width: int

    def __post_init__(self) -> None:
        check_axis("depth", self.depth, least=0)
        check_axis("width", self.width, least=1)

    def __str__(self) -> str:
        return f"({self.depth}, {self.width})"

    @property
    def configuration(self) -> Configuration:
        """Return the set's name and its axes."""
        return {SET: "bottleneck", "depth": self.depth, "width": self.width}

    @property
    def spec(self) -> TrainedSpec:
        """Return adapters of this width."""
        return bottleneck(self.width)

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the shapes of adapters and head."""
        return adapter_shapes(self, blocks=sizes.blocks, hidden=sizes.hidden) | shapes_of_head(sizes)

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Draw new adapters and a head; the adapters change nothing yet."""
        adapters = new_adapters(self, blocks=sizes.blocks, hidden=sizes.hidden, generator=generator)
        return adapters | draw_head(sizes, generator)

    def split_point(self, blocks: int) -> SplitPoint:
        """Return the split at the lowest adapter; at depth 0, at what the head reads."""
        check_depth("bottleneck", self.depth, blocks)
        return SplitPoint(kind="adapter" if self.depth else "features", block=blocks - self.depth)

    @property
    def size_axis(self) -> str:
        """Return the name of the axis of size."""
        return "width"

    def most_size(self, sizes: ModelSizes) -> int:
        """Return the largest width; there is no limit but what an experiment accepts."""
        return _WIDEST

    def grow(
        self, arrays: Mapping[str, np.ndarray], to: "Bottleneck", *, sizes: ModelSizes, generator: np.random.Generator
    ) -> Arrays:
        """Return the arrays of a model with deeper or wider adapters that computes the same function.

        `arrays` are those of this set. Old weights are carried over. New bottleneck units and new adapters have a
        random down-projection and a zero up-projection, so they add nothing until they are trained (the idea of
        Net2Net, Chen et al. 2016).
        """
        assert to.depth >= self.depth, f"cannot shrink depth {self.depth} to {to.depth}"
        assert to.width >= self.width, f"cannot shrink width {self.width} to {to.width}"
        grown = new_adapters(to, blocks=sizes.blocks, hidden=sizes.hidden, generator=generator)
        return carried_over(arrays, grown)

    def merge(
        self,
        arrays: Mapping[str, np.ndarray],
        weight: float,
        others: Sequence[tuple[TrainableSet, Mapping[str, np.ndarray], float]],
    ) -> Arrays:
        """Average a model with others that have grown from the same one."""
        return merge(arrays, weight, [(theirs, share) for _, theirs, share in others])


def carried_over(arrays: Mapping[str, np.ndarray], grown: Arrays) -> Arrays:
    """Write arrays into the first rows and columns of grown ones, and add those that do not grow; return `grown`."""
    for name, array in arrays.items():
        if name in grown:
            grown[name][tuple(slice(0, size) for size in array.shape)] = array
        else:
            grown[name] = array.copy()
    return grown


def adapter_names(block: int) -> tuple[str, str, str, str]:
    """Return the names of one block's adapter: down weight and bias, up weight and bias."""
    stem = f"block.{block}"
    return f"{stem}.down.weight", f"{stem}.down.bias", f"{stem}.up.weight", f"{stem}.up.bias"


def adapted_blocks(config: Bottleneck, blocks: int) -> range:
    """Return the indices of the blocks that carry an adapter, the lowest first."""
    check_depth("bottleneck", config.depth, blocks)
    return range(blocks - config.depth, blocks)


def adapter_shapes(config: Bottleneck, *, blocks: int, hidden: int) -> dict[str, Shape]:
    """Return the name and shape of every array of the adapters, in the order they travel."""
    shapes: dict[str, Shape] = {}
    for block in adapted_blocks(config, blocks):
        adapter = ((config.width, hidden), (config.width,), (hidden, config.width), (hidden,))
        shapes |= dict(zip(adapter_names(block), adapter, strict=True))
    return shapes


def array_shapes(config: Bottleneck, *, blocks: int, hidden: int, labels: int) -> dict[str, Shape]:
    """Return the name and shape of every trained array, in the order they travel, with a head that has a bias."""
    return adapter_shapes(config, blocks=blocks, hidden=hidden) | head_shapes(hidden, labels)


def initial_arrays(
    config: Bottleneck, *, blocks: int, hidden: int, labels: int, generator: np.random.Generator
) -> Arrays:
    """Draw the arrays of a new model with a head that has a bias."""
    adapters = new_adapters(config, blocks=blocks, hidden=hidden, generator=generator)
    return adapters | draw_arrays(head_shapes(hidden, labels), generator)


def new_adapters(config: Bottleneck, *, blocks: int, hidden: int, generator: np.random.Generator) -> Arrays:
    """Draw new adapters. Up-projections and biases are zero: the adapters change nothing yet."""
    arrays: Arrays = {}
    for block in adapted_blocks(config, blocks):
        down_weight, down_bias, up_weight, up_bias = adapter_names(block)
        arrays[down_weight] = draw_normal((config.width, hidden), generator)
        arrays[down_bias] = np.zeros((config.width,), np.float32)
        arrays[up_weight] = np.zeros((hidden, config.width), np.float32)
        arrays[up_bias] = np.zeros((hidden,), np.float32)
    return arrays


def merge(
    arrays: Mapping[str, np.ndarray], weight: float, others: Sequence[tuple[Mapping[str, np.ndarray], float]]
) -> Arrays:
    """Average a model with others of the same descent, each of its weights over the models that have it.

    All have grown from one model (`Bottleneck.grow`), so the blocks and bottleneck units they share began as the same.
    A deeper adapter or an outer unit that another model lacks is averaged over the rest alone. `weight` is the model's
    own, the others bring theirs. HeteroFL averages the sub-networks of a larger one likewise (Diao et al. 2021).
    """
    merged: Arrays = {}
    for name, array in arrays.items():
        total, weights = array * np.float32(weight), np.full(array.shape, weight, np.float32)
        for other, others_weight in others:
            if name in other:
                shared = tuple(slice(0, min(sizes)) for sizes in zip(array.shape, other[name].shape, strict=True))
                total[shared] += other[name][shared] * np.float32(others_weight)
                weights[shared] += np.float32(others_weight)
        merged[name] = total / weights
    return merged


def count_parameters(config: Bottleneck, *, blocks: int, hidden: int, labels: int) -> int:
    """Return the number of trained parameters, adapters and head."""
    shapes = array_shapes(config, blocks=blocks, hidden=hidden, labels=labels)
    return sum(int(np.prod(shape)) for shape in shapes.values())
