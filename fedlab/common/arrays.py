"""Named arrays: the parameters of a model, as they are trained and sent."""

from collections.abc import Mapping

import numpy as np

Arrays = dict[str, np.ndarray]


Shape = tuple[int, ...]


def in_dtypes_of(arrays: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> Arrays:
    """Return arrays in the dtypes that others of the same names have; those of other names as they are.

    Floats that become whole numbers are rounded to the nearest. Arrays that have the dtype already are not copied.
    """
    return {name: _cast(array, others[name].dtype) if name in others else array for name, array in arrays.items()}


def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    rounds = np.issubdtype(dtype, np.integer) and np.issubdtype(array.dtype, np.floating)
    return (np.rint(array) if rounds else array).astype(dtype, copy=False)
