"""A codec of the user's own, whose mistakes are one line."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from fedlab.codecs.codec import Codec, GarbledError, Reader
from fedlab.common.arrays import Shape
from fedlab.config.guard import guarded, refuse_returned


@dataclass(frozen=True, kw_only=True)
class GuardedCodec:
    """Encodes and decodes as `codec`; whatever that raises or returns is one line that begins with `place`."""

    codec: Codec
    place: str

    @property
    def lossless(self) -> bool:
        """Return what the codec says; raises UserError unless that is True or False."""
        return self._told("lossless")

    @property
    def final(self) -> bool:
        """Return what the codec says; raises UserError unless that is True or False."""
        return self._told("final")

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Return what the codec returns; raises UserError unless that is bytes and an array of floats."""
        returned = guarded(self.place, "encode", partial(self.codec.encode, array, generator))
        match returned:
            case (bytes() | bytearray() | memoryview() as written, np.ndarray() as left) if left.dtype.kind == "f":
                return bytes(written), left.astype(np.float32, copy=False)
        refuse_returned(self.place, "encode", returned, "bytes and an array of float32")

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Return what the codec returns; raises UserError unless that is an array of floats of the shape."""
        call = partial(self.codec.decode, reader, shape, rest)
        returned = guarded(self.place, "decode", call, passes=(GarbledError,))
        if not isinstance(returned, np.ndarray) or returned.dtype.kind != "f" or returned.shape != tuple(shape):
            what = f"an array of {returned.dtype}, {returned.shape}" if isinstance(returned, np.ndarray) else returned
            refuse_returned(self.place, "decode", what, f"an array of float32, {tuple(shape)}")
        return returned.astype(np.float32, copy=False)

    def _told(self, name: str) -> bool:
        returned = guarded(self.place, name, lambda: getattr(self.codec, name))
        if not isinstance(returned, bool | np.bool_):
            refuse_returned(self.place, name, returned, "True or False")
        return bool(returned)
