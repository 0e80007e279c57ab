"""Clipping of updates by clients, for the strategies of differential privacy that leave it to them.

Flower's `fixedclipping_mod` and `adaptiveclipping_mod` do the same for a client of your own.
"""

import math
from dataclasses import replace

import numpy as np

from fedlab.messages.orders import Order
from fedlab.messages.replies import TrainReport


def clipped(order: Order, report: TrainReport) -> TrainReport:
    """Shorten a model's difference to the one that was sent to the norm that the order sets, if it sets one.

    The norm is Euclidean, over all arrays (FlatClip, https://arxiv.org/abs/1710.06963).
    """
    if order.clipping_norm is None:
        return report
    steps = {name: array - order.arrays[name] for name, array in report.arrays.items()}
    norm = math.sqrt(sum(float(np.sum(np.square(step, dtype=np.float64))) for step in steps.values()))
    if norm <= order.clipping_norm:
        return replace(report, clipped=False)
    share = np.float32(order.clipping_norm / norm)
    arrays = {name: order.arrays[name] + share * step for name, step in steps.items()}
    return replace(report, arrays=arrays, clipped=True)
