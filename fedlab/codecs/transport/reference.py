"""The arrays that both sides of a run hold from the start, so that a model can be sent as its difference to them."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.models.peft.bottleneck import POOLER_NAMES, Whole, cut_of
from fedlab.models.peft.whole_blocks import whole_arrays
from fedlab.models.split import Network

Reference = Callable[[Collection[str]], Mapping[str, np.ndarray]]


def reference_arrays(network: Network, names: Collection[str]) -> Arrays:
    """Return the backbone's own weights for a model of arrays of these names; there are none for adapters and heads."""
    cut = cut_of(names)
    if not isinstance(cut, Whole):
        return {}
    return whole_arrays(network.encoder, cut.depth, pooler=POOLER_NAMES["pooler_weight"] in names)


def nothing(names: Collection[str]) -> Arrays:
    """Return no array: every model counts from zero."""
    return {}
