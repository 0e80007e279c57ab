"""The arrays that both sides of a run hold from the start, so that a model can be sent as its difference to them."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.models.arrays import POOLER_NAMES, Whole, cut_of
from fedlab.models.network import Network
from fedlab.models.whole import whole_arrays

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
