"""How far the update of a real client may be from what it was sent."""

import math

import numpy as np

from fedlab.common.arrays import Arrays


def furthest(sent: Arrays) -> float:
    """Return how far an update may be from what was sent: as far as that is from 0, but at least 1 a value.

    The latter as the root of the mean square. No training of a round comes near it: weights of transformers are
    hundredths. It is for what has diverged, or come out of broken memory.
    """
    norm = math.hypot(*(float(np.linalg.norm(array)) for array in sent.values()))
    return max(norm, math.sqrt(sum(array.size for array in sent.values())))
