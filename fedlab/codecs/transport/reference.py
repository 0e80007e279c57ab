"""The arrays that both sides of a run hold from the start, so that a model can be sent as its difference to them."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.models.split import Network
from fedlab.models.transformer.named_weights import weights_of

Reference = Callable[[Collection[str]], Mapping[str, np.ndarray]]


def reference_arrays(network: Network, names: Collection[str]) -> Arrays:
    """Return those of the named arrays that are weights of the backbone; adapters and heads are not."""
    return weights_of(network.encoder, names)


def nothing(names: Collection[str]) -> Arrays:
    """Return no array: every model counts from zero."""
    return {}
