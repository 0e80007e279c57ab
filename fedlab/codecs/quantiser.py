"""Quantisation: integers with a scale shared by a few rows, or half precision.

A scale is shared by the smallest number of whole rows (entries of the first axis; values of a vector) that hold 256
values: one row of a transformer's matrices, several rows of a narrow adapter. Scales take at most 1.6% of float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedlab.codecs.codec import Codec, Reader
from fedlab.common.arrays import Shape

Rounding = Literal["stochastic", "nearest"]

_SHARING = 256  # the least number of values that share a scale
_NOTHING = np.empty(0, np.float32)


def int8(*, rounding: Rounding = "stochastic") -> Codec:
    """A byte for each value: 127 steps on either side of zero, and a float32 scale for each row or few rows."""
    return Quantiser(bits=8, rounding=rounding)


def int4(*, rounding: Rounding = "stochastic") -> Codec:
    """Half a byte for each value: 7 steps on either side of zero, and a float32 scale for each row or few rows."""
    return Quantiser(bits=4, rounding=rounding)


def fp16() -> Codec:
    """Two bytes for each value: IEEE half precision; values out of range are clipped to 65504."""
    return HalfPrecision()


@dataclass(frozen=True, kw_only=True)
class Quantiser:
    """Symmetric uniform quantisation; stochastic rounding is unbiased (as in QSGD, Alistarh et al. 2017).

    Zeros stay zeros. If a block contains an infinite or NaN value, all its values become NaN, so that a diverged model
    is noticed.
    """

    bits: Literal[4, 8]
    rounding: Rounding = "stochastic"
    lossless: ClassVar[bool] = False
    final: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rounding not in ("stochastic", "nearest"):
            raise ValueError(f"rounding: '{self.rounding}' is unknown; accepted: stochastic, nearest")

    @property
    def steps(self) -> int:
        """Return the number of steps on either side of zero."""
        return int(2 ** (self.bits - 1)) - 1

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Write the scales, then the steps."""
        blocks = _blocks(array)
        scales = np.max(np.abs(blocks), axis=1, initial=0.0) / np.float32(self.steps)
        # Dividing by a subnormal scale would be too coarse; such values count as zero.
        scales[scales < np.finfo(np.float32).tiny] = 0.0
        usable = np.isfinite(scales) & (scales > 0)
        ratios = np.divide(blocks, scales[:, None], out=np.zeros_like(blocks), where=usable[:, None])
        if self.rounding == "nearest":
            np.rint(ratios, out=ratios)
        else:
            ratios += generator.random(ratios.shape, np.float32)
            np.floor(ratios, out=ratios)
        np.clip(ratios, -self.steps, self.steps, out=ratios)
        whole = ratios.astype(np.int8).reshape(-1)[: array.size]
        packed = whole if self.bits == 8 else _pack_nibbles(whole)
        return scales.astype("<f4").tobytes() + packed.tobytes(), _NOTHING

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Multiply steps by scales."""
        size = int(np.prod(shape))
        per_scale = _values_a_scale(shape)
        scales = reader.take("<f4", -(-size // per_scale))
        if self.bits == 8:
            whole = reader.take(np.int8, size)
        else:
            whole = _unpack_nibbles(reader.take(np.uint8, -(-size // 2)), size)
        values = np.zeros(len(scales) * per_scale, np.float32)
        values[:size] = whole
        blocks = values.reshape(-1, per_scale)
        with np.errstate(invalid="ignore"):  # an infinite scale times zero
            blocks *= scales[:, None]
        return values[:size].reshape(shape)


@dataclass(frozen=True, kw_only=True)
class HalfPrecision:
    """Conversion to float16. Infinite values stay infinite, so that a diverged model is noticed."""

    lossless: ClassVar[bool] = False
    final: ClassVar[bool] = True

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Write the values as float16."""
        largest = np.finfo(np.float16).max
        within = np.where(np.isinf(array), array, np.clip(array, -largest, largest))
        return within.astype("<f2").tobytes(), _NOTHING

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Read float16."""
        return reader.take("<f2", int(np.prod(shape))).astype(np.float32).reshape(shape)


def _values_a_scale(shape: Shape) -> int:
    """Return how many consecutive values share a scale: the fewest whole rows that hold enough values."""
    row = max(1, int(np.prod(shape[1:])))
    return row * -(-_SHARING // row)


def _blocks(array: np.ndarray) -> np.ndarray:
    """Return the values as [scales, values for each scale], padded with zeros."""
    per_scale = _values_a_scale(array.shape)
    missing = -array.size % per_scale
    return np.pad(array.reshape(-1), (0, missing)).reshape(-1, per_scale)


def _pack_nibbles(whole: np.ndarray) -> np.ndarray:
    """Pack two values of -8 to 7 into each byte, the first into the lower half."""
    nibbles = np.pad(whole, (0, len(whole) % 2)).view(np.uint8) & 0xF
    return nibbles[0::2] | nibbles[1::2] << 4


def _unpack_nibbles(packed: np.ndarray, count: int) -> np.ndarray:
    nibbles = np.stack([packed & 0xF, packed >> 4], axis=1).reshape(-1)[:count]
    return (nibbles.view(np.int8) ^ 8) - 8
