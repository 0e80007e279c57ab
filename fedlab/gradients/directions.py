"""Random directions that a seed stands for, so that a derivative along one travels as a seed and a number.

A direction v of P values has independent components with mean 0 and variance 1 (on the sphere: uncorrelated ones), so
that E[(g . v) v] = g for every gradient g:

* `gaussian`: N(0, 1), as FwdLLM, MeZO and BAFFLE have it. A component is one of 65,536 equally likely quantiles of the
  normal distribution, scaled to a variance of 1; the largest is 4.3, and the kurtosis 2.999 in place of 3.
* `sphere`: a Gaussian direction scaled to length sqrt(P), so uniform on a sphere (FedZO).
* `sign`: each component +1 or -1 with probability 1/2 (Spall's simultaneous perturbation).

Bits come from Philox, a counter-based generator (Salmon et al. 2011) whose stream NumPy guarantees, and what follows
are table look-ups and sums of integers. So a seed gives the same bits on every machine, whoever asks and however many
directions are made at once.
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np

from fedlab.common.seeds import seed_for

Distribution = Literal["gaussian", "sphere", "sign"]
DISTRIBUTIONS: tuple[str, ...] = get_args(Distribution)
_LEVELS = 2**16
_FRACTION = 2.0**24  # squares are summed as integers in units of 2^-24: exact, in whatever order


def probe_seed(seed: int, *, step: int, cycle: int, partition: int, probe: int) -> int:
    """Return the seed of one probe's direction; `cycle` counts how often the step was asked for before."""
    return seed_for(seed, "probe", step, cycle, partition, probe)


def direction(seed: int, size: int, distribution: Distribution) -> np.ndarray:
    """Return the direction of a seed: float32 [size]."""
    if distribution == "sign":
        return _signs(seed, size)
    levels = _uniform_16_bits(seed, size)
    values: np.ndarray = _quantiles().take(levels)
    if distribution == "sphere":
        square = int(_squares().take(levels).sum(dtype=np.int64)) / _FRACTION
        values *= np.float32(math.sqrt(size / square))
    return values


def _uniform_16_bits(seed: int, count: int) -> np.ndarray:
    return _raw(seed, -(-count // 4)).view("<u2")[:count]


def _signs(seed: int, size: int) -> np.ndarray:
    bits = np.unpackbits(_raw(seed, -(-size // 64)).view(np.uint8), count=size)
    return bits.astype(np.float32) * np.float32(2) - np.float32(1)


def _raw(seed: int, words: int) -> np.ndarray:
    """Return words of 64 random bits, in little-endian order."""
    bits = np.random.Philox(key=seed)
    return bits.random_raw(words).astype("<u8", copy=False)


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    """Return the middle quantiles of 65,536 equal parts of N(0, 1), scaled to a variance of 1: float32."""
    normal = NormalDist()
    lower = [normal.inv_cdf((level + 0.5) / _LEVELS) for level in range(_LEVELS // 2)]
    scale = math.sqrt(math.fsum(value * value for value in lower) / len(lower))
    half = np.array([value / scale for value in lower]).astype(np.float32)
    return np.concatenate([half, -half[::-1]])


@lru_cache(maxsize=1)
def _squares() -> np.ndarray:
    """Return the squares of the quantiles in units of 2^-24: int64."""
    return np.rint(np.square(_quantiles().astype(np.float64)) * _FRACTION).astype(np.int64)
