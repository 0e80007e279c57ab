"""Models of int8 mantissas as messages hold them: each array's mantissas, and one exponent an array.

The arrays have the names of the floats that they stand for; the exponents are an array of their own, one a name and in
their order. An array m with exponent e stands for m * 2^e.
"""

import math
from collections.abc import Mapping

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.errors import UserError

EXPONENTS = "exponents"
_LARGEST, _KEPT_BITS = 127, 7
_RANGE = (-128, 127)  # of an exponent


def quantised_arrays(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return floats as mantissas, each array stretched so that its largest is 127, and their exponents.

    An exponent is ceil(log2 r) - 7 for a largest magnitude r, so that what it stands for is larger by up to almost 2
    (`weight_quant` of NITI and IntFL-TMC).
    """
    found: Arrays = {}
    exponents = []
    for name, array in arrays.items():
        largest = float(np.abs(array).max(initial=0.0))
        if not largest:
            found[name], exponent = np.zeros(array.shape, np.int8), 0
        else:
            fraction, power = math.frexp(largest)  # the fraction is from 0.5 to below 1
            exponent = power - (fraction == 0.5) - _KEPT_BITS
            found[name] = np.rint(array.astype(np.float64) / largest * _LARGEST).astype(np.int8)
        exponents.append(min(max(exponent, _RANGE[0]), _RANGE[1]))
    return found | {EXPONENTS: np.array(exponents, np.int8)}


def dequantised_arrays(arrays: Mapping[str, np.ndarray], exponents: np.ndarray) -> Arrays:
    """Return what mantissas stand for, float32, by the exponents of the arrays besides `EXPONENTS`."""
    mantissas = {name: array for name, array in arrays.items() if name != EXPONENTS}
    return {  # a product in float64 is exact, and ten times faster than ldexp
        name: (array * np.float64(2.0 ** int(exponent))).astype(np.float32)
        for (name, array), exponent in zip(mantissas.items(), exponents, strict=True)
    }


def check_integer_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise a UserError unless arrays are int8 mantissas with an exponent for each."""
    exponents = arrays.get(EXPONENTS)
    whole = all(array.dtype == np.int8 for array in arrays.values())
    if exponents is None or not whole or exponents.shape != (len(arrays) - 1,):
        raise UserError(
            "this client trains int8 mantissas with exponents, and was sent something else: expected a strategy that "
            "sends them, such as q-fedavg or q-fedupdate"
        )
