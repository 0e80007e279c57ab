"""Named arrays, as they are trained and as they travel."""

import numpy as np

Arrays = dict[str, np.ndarray]


Shape = tuple[int, ...]
