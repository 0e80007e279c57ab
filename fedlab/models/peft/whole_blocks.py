"""Whole blocks as arrays that travel: out of a backbone."""

import torch

from fedlab.common.arrays import Arrays
from fedlab.models.base import Backbone


def whole_arrays(backbone: Backbone, depth: int, *, pooler: bool) -> Arrays:
    """Return copies of the weights that training the top `depth` blocks whole trains, without a head, in float32.

    Raises:
        UserError: these blocks cannot be trained without the others.
    """
    return {
        name: tensor.detach().to(torch.float32, copy=True).cpu().numpy()
        for name, tensor in backbone.trained_weights(depth, pooler=pooler)
    }
