"""The interface of a codec, and the reader that it decodes from."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from fedlab.common.arrays import Shape


class GarbledError(ValueError):
    """The bytes are not the output of the encoder."""


@runtime_checkable
class Codec(Protocol):
    """One step of a pipeline: it encodes a float32 array to bytes and a remainder, a smaller array for the next step.

    The decoder is told the shape, so a step does not write what follows from the shape.
    """

    @property
    def lossless(self) -> bool:
        """Tell whether decoding restores every bit; a lossless codec needs no error feedback."""

    @property
    def final(self) -> bool:
        """Tell whether the step leaves no remainder, so that it has to be the last."""

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Return the bytes of this step and the remainder, which is empty (of any shape) if the step is final."""

    def decode(self, reader: "Reader", shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Decode the bytes of this step; `rest(shape)` decodes the remainder, of the given shape.

        Raises:
            GarbledError: the bytes do not fit the shape.
        """


class Reader:
    """Reads arrays from the front of some bytes."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    def take(self, dtype: DTypeLike, count: int) -> np.ndarray:
        """Return the next `count` values, read-only; raises `GarbledError` if fewer are left."""
        size = np.dtype(dtype).itemsize * count
        if size > len(self._data):
            raise GarbledError(f"{size} bytes expected, {len(self._data)} left")
        taken, self._data = self._data[:size], self._data[size:]
        return np.frombuffer(taken, dtype)

    def end(self) -> None:
        """Raise `GarbledError` if any bytes are left."""
        if len(self._data):
            raise GarbledError(f"{len(self._data)} bytes too many")
