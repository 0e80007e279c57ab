"""The arrays that both sides of a run hold from the start, so that a model can be sent as its difference to them."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
from flwr.app import Context

from fedlab.models.arrays import POOLER_NAMES, Arrays, Whole, cut_of
from fedlab.models.network import Network
from fedlab.models.whole import whole_arrays
from fedlab.training.workbench import open_workbench

Reference = Callable[[Collection[str]], Mapping[str, np.ndarray]]


def reference_arrays(network: Network, names: Collection[str]) -> Arrays:
    """Return the backbone's own weights for a model of arrays of these names; there are none for adapters and heads."""
    cut = cut_of(names)
    if not isinstance(cut, Whole):
        return {}
    return whole_arrays(network.encoder, cut.depth, pooler=POOLER_NAMES["pooler_weight"] in names)


def reference_of_node(context: Context, names: Collection[str]) -> Arrays:
    """Return them as a client has them."""
    return reference_arrays(open_workbench(context.run_config, context.node_config).network, names)


def nothing(names: Collection[str]) -> Arrays:
    """Return no array: every model counts from zero."""
    return {}
