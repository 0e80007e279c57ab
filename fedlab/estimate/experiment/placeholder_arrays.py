"""Models that stand in for real ones: the names, depth and width of their arrays, and next to nothing in them."""

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.models.peft.bottleneck import initial_arrays
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.peft.shapes import whole_shapes
from fedlab.models.sizes import EncoderSizes


def stand_in(sizes: EncoderSizes, config: AdapterConfig, *, adapters: bool) -> Arrays:
    """Return a model of one label whose hidden size is 1: adapters, or the top blocks whole."""
    blocks, draws = sizes.shape.blocks, np.random.default_rng(0)
    if adapters:
        return initial_arrays(config, blocks=blocks, hidden=1, labels=1, generator=draws)
    shapes = whole_shapes(sizes, config.depth, labels=1)
    return {name: np.zeros((1,) * len(shape), np.float32) for name, shape in shapes.items()}
