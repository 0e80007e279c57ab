"""Pipelines: a sequence of codecs, applied to all arrays of an update."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlab.codecs.codec import Codec, GarbledError, Reader
from fedlab.common.arrays import Shape


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Each codec encodes the remainder of the previous one; the last remainder is written as float32.

    The bytes of the arrays are concatenated without headers: the receiver knows names, order and shapes, or gets them
    in a frame (`fedlab.codecs.frame`).
    """

    codecs: tuple[Codec, ...] = ()

    @property
    def lossless(self) -> bool:
        """Tell whether decoding restores every bit."""
        return all(codec.lossless for codec in self.codecs)

    def encode(self, arrays: Mapping[str, np.ndarray], generator: np.random.Generator) -> bytes:
        """Encode float32 arrays to bytes."""
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
        """Decode the arrays of these names and shapes, in the same order.

        Raises:
            GarbledError: the bytes do not fit the names and shapes.
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
