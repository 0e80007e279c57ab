"""Named arrays: the parameters of a model, as they are trained and sent."""

import numpy as np

Arrays = dict[str, np.ndarray]


Shape = tuple[int, ...]
