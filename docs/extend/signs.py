"""One bit for each value, its sign, and the mean magnitude of each array."""

from collections.abc import Callable

import numpy as np

from fedlab.api import Reader


class Signs:
    lossless = False  # so that clients use error feedback
    final = True  # nothing is left to encode for other codecs

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        magnitude = np.abs(array).mean(dtype=np.float32)
        return magnitude.tobytes() + np.packbits(array > 0).tobytes(), np.empty(0)

    def decode(self, reader: Reader, shape: tuple[int, ...], rest: Callable[..., np.ndarray]) -> np.ndarray:
        magnitude, count = reader.take(np.float32, 1), int(np.prod(shape))
        positive = np.unpackbits(reader.take(np.uint8, -(-count // 8)), count=count)
        return np.where(positive, magnitude, -magnitude).reshape(shape)
