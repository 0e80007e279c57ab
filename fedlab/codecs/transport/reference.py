"""References: arrays that both sides have from the start, so that a model can be sent as its delta to them."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.models.base import weights_of
from fedlab.models.split_model import SplitModel

Reference = Callable[[Collection[str]], Mapping[str, np.ndarray]]


def reference_arrays(network: SplitModel, names: Collection[str]) -> Arrays:
    """Return the backbone's pretrained weights for arrays of these names; adapters and heads have no reference."""
    return weights_of(network.encoder, names)


def nothing(names: Collection[str]) -> Arrays:
    """Return an empty reference: every model is a delta to zero."""
    return {}
