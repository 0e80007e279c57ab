"""What a step of a pipeline is, and how it reads back what it wrote."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike

from fedlab.common.arrays import Shape


class GarbledError(ValueError):
    """Bytes that no encoder wrote."""


@runtime_checkable
class Codec(Protocol):
    """One step: float32 arrays to bytes, and to a smaller float32 array if that is left for the steps after it.

    Of the arrays only values and shape count, so a step never has to write what follows from the shape alone.
    """

    @property
    def lossless(self) -> bool:
        """Tell whether decoding gives back every bit, so that there is no error to feed back."""

    @property
    def final(self) -> bool:
        """Tell whether nothing is left to encode after this step."""

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Return what this step writes, and the values that are left, none (of any shape) if it is final."""

    def decode(self, reader: "Reader", shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Read back what this step wrote; `rest` decodes the values that were left, of a shape it is told.

        Raises:
            GarbledError: the bytes do not fit the shape.
        """


class Reader:
    """Takes arrays off the front of some bytes."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    def take(self, dtype: DTypeLike, count: int) -> np.ndarray:
        """Return the next `count` values, read-only; raises `GarbledError` if there are fewer."""
        size = np.dtype(dtype).itemsize * count
        if size > len(self._data):
            raise GarbledError(f"{size} bytes expected, {len(self._data)} left")
        taken, self._data = self._data[:size], self._data[size:]
        return np.frombuffer(taken, dtype)

    def end(self) -> None:
        """Raise `GarbledError` if anything is left."""
        if len(self._data):
            raise GarbledError(f"{len(self._data)} bytes too many")
