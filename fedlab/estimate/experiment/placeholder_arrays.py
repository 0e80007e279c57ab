"""Models that stand in for real ones: arrays of the same names, depth and width, of a model of hidden size 1."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import ModelSizes, TrainableSet
from fedlab.models.peft.set_calls import initial_of, shapes_of


def stand_in(sizes: EncoderSizes, trained: TrainableSet) -> Arrays:
    """Return the arrays of a set in a model of one label whose hidden size is 1; pretrained weights are zero."""
    shape = replace(sizes.shape, hidden=1, intermediate=1)
    embedding = {field: (1,) * len(axes) for field, axes in sizes.embedding.items()}
    small = ModelSizes(encoder=replace(sizes, shape=shape, vocabulary=1, positions=1, embedding=embedding), labels=1)
    shapes = shapes_of(trained, small)

    def zeros(names: Collection[str]) -> Arrays:
        return {name: np.zeros(shapes[name], np.float32) for name in names}

    return initial_of(trained, small, np.random.default_rng(0), zeros)
