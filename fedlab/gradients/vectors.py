"""Named arrays as one vector, in the order of their names, which both sides know without being told."""

import math
from collections.abc import Mapping

import numpy as np

from fedlab.common.arrays import Arrays, Shape

VectorLayout = dict[str, Shape]  # the arrays of a vector, one after the other


def layout_of(arrays: Mapping[str, np.ndarray]) -> VectorLayout:
    """Return the layout of a vector of these arrays."""
    return {name: arrays[name].shape for name in sorted(arrays)}


def flat(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the values of named arrays as one vector: float32 [P]."""
    parts = [np.ravel(arrays[name]) for name in sorted(arrays)]
    return np.concatenate(parts).astype(np.float32, copy=False) if parts else np.zeros(0, np.float32)


def spans_of(layout: VectorLayout) -> dict[str, slice]:
    """Return where in the vector each array lies."""
    spans, start = {}, 0
    for name, shape in layout.items():
        spans[name] = slice(start, start + math.prod(shape))
        start = spans[name].stop
    return spans


def size_of_layout(layout: VectorLayout) -> int:
    """Return the number of values."""
    return sum(math.prod(shape) for shape in layout.values())


def named(vector: np.ndarray, layout: VectorLayout) -> Arrays:
    """Return a vector's arrays, in float32."""
    return {
        name: vector[span].reshape(layout[name]).astype(np.float32, copy=False)
        for name, span in spans_of(layout).items()
    }
