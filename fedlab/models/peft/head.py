"""The head alone: a linear layer from what is read off a text or token to its label.

H is the hidden size, C the number of labels.

| name          | shape  |
|---------------|--------|
| `head.weight` | [C, H] |
| `head.bias`   | [C]    |

Every other set has these arrays too, as its last ones. A classifier of texts on a decoder has no bias, as in
transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.models.peft.base import SET, BackboneWeights, ModelSizes, SplitPoint
from fedlab.workload.passes import NOTHING, TrainedSpec
from fedlab.workload.workload import Configuration

HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"
INITIAL_STD = 0.02  # as BERT's own weights (Devlin et al. 2019, and the adapters library's default)


@dataclass(frozen=True, kw_only=True)
class HeadOnly:
    """Train the head alone."""

    @property
    def configuration(self) -> Configuration:
        """Return the set's name; it has no axes."""
        return {SET: "head"}

    @property
    def spec(self) -> TrainedSpec:
        """Return nothing: gradients of the head come with any backward pass."""
        return NOTHING

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the shapes of the head."""
        return shapes_of_head(sizes)

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Draw a new head."""
        return draw_head(sizes, generator)

    def split_point(self, blocks: int) -> SplitPoint:
        """Return the split at what the head reads."""
        return SplitPoint(kind="features", block=blocks)


def shapes_of_head(sizes: ModelSizes) -> dict[str, Shape]:
    """Return the shapes of the head of a model."""
    return head_shapes(sizes.hidden, sizes.labels, bias=sizes.head_bias)


def draw_head(sizes: ModelSizes, generator: np.random.Generator) -> Arrays:
    """Draw the head of a model; its biases are zero."""
    return draw_arrays(shapes_of_head(sizes), generator)


def head_shapes(hidden: int, labels: int, *, bias: bool = True) -> dict[str, Shape]:
    """Return the shapes of a head; a model that says tokens has none that is trained."""
    if not labels:
        return {}
    return {HEAD_WEIGHT: (labels, hidden)} | ({HEAD_BIAS: (labels,)} if bias else {})


def draw_arrays(shapes: Mapping[str, Shape], generator: np.random.Generator) -> Arrays:
    """Draw the arrays of a head; its biases are zero."""
    return {
        name: np.zeros(shape, np.float32) if name == HEAD_BIAS else draw_normal(shape, generator)
        for name, shape in shapes.items()
    }


def draw_normal(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Draw a weight."""
    return generator.normal(0.0, INITIAL_STD, shape).astype(np.float32)
