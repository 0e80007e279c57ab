"""Codecs one after the other, over all arrays of an update."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlab.codecs.codec import Codec, GarbledError, Reader
from fedlab.common.arrays import Shape


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Each codec encodes what the one before it left; what is left in the end is written as float32.

    The bytes of all arrays follow each other without headers: names, order and shapes are known to the receiver, or
    travel in a frame (`fedlab.codecs.frame`).
    """

    codecs: tuple[Codec, ...] = ()

    @property
    def lossless(self) -> bool:
        """Tell whether decoding gives back every bit."""
        return all(codec.lossless for codec in self.codecs)

    def encode(self, arrays: Mapping[str, np.ndarray], generator: np.random.Generator) -> bytes:
        """Return float32 arrays as bytes."""
        parts: list[bytes] = []
        for array in arrays.values():
            left = array
            for codec in self.codecs:
                written, left = codec.encode(left, generator)
                parts.append(written)
            if not self._ends:
                parts.append(left.astype("<f4", copy=False).tobytes())
        return b"".join(parts)

    def decode(self, data: bytes | memoryview, shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
        """Return the arrays of these names and shapes, in their order.

        Raises:
            GarbledError: the bytes are not those of such arrays.
        """
        reader = Reader(data)
        arrays = {}
        for name, shape in shapes.items():
            try:
                arrays[name] = self._decode(reader, shape, 0)
            except GarbledError as error:
                raise GarbledError(f"{name}: {error}") from None
        reader.end()
        return arrays

    def _decode(self, reader: Reader, shape: Shape, place: int) -> np.ndarray:
        if place == len(self.codecs):
            return reader.take("<f4", int(np.prod(shape))).astype(np.float32).reshape(shape)
        return self.codecs[place].decode(reader, shape, lambda left: self._decode(reader, left, place + 1))

    @property
    def _ends(self) -> bool:
        return bool(self.codecs) and self.codecs[-1].final
