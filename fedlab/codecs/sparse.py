"""Sparsification: only the largest values of each array, or only the rows that are not all zero."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlab.codecs.codec import Codec, GarbledError, Reader
from fedlab.common.arrays import Shape


def top_k(*, share: float) -> Codec:
    """Only a share of each array's values, the largest in magnitude; `top-k:0.01` keeps one in a hundred."""
    return TopK(share=share)


def skip_zero_rows() -> Codec:
    """Only the rows that are not all zero, and a bit for each row: for embeddings, where most tokens do not occur."""
    return SkipZeroRows()


@dataclass(frozen=True, kw_only=True)
class TopK:
    """Top-k sparsification (Aji and Heafield 2017); at least one value of each array is kept."""

    share: float
    lossless: ClassVar[bool] = False
    final: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise ValueError(f"share: {self.share!r} is not a number above 0 and at most 1")

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Write the places of the largest values as gaps; the values, in the order of places, are the remainder."""
        flat = array.reshape(-1)
        count = self._count(flat.size)
        places = np.sort(np.argpartition(np.abs(flat), flat.size - count)[flat.size - count :]) if count else _NO_PLACES
        words = pack_gaps(places, _gap_words(flat.size, count))
        return np.array([len(words)], "<u4").tobytes() + words.tobytes(), flat[places]

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Put the values at their places; all others are zero."""
        size = int(np.prod(shape))
        count = self._count(size)
        (length,) = reader.take("<u4", 1)
        places = unpack_gaps(reader.take(_gap_words(size, count), int(length)))
        if len(places) != count or (count and places[-1] >= size):
            raise GarbledError(f"the places of {count} of {size} values are wrong")
        flat = np.zeros(size, np.float32)
        flat[places] = rest((count,))
        return flat.reshape(shape)

    def _count(self, size: int) -> int:
        return min(size, max(1, round(self.share * size)))


@dataclass(frozen=True, kw_only=True)
class SkipZeroRows:
    """All-zero rows (entries of the first axis) take one bit; a vector is one row."""

    lossless: ClassVar[bool] = True
    final: ClassVar[bool] = False

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Write a bit for each row; the rows that are not all zero are the remainder."""
        rows = array.reshape(_rows(array.shape))
        present = rows.any(axis=1)
        return np.packbits(present).tobytes(), rows[present]

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Put the rows at their places; all others are zero."""
        count, length = _rows(shape)
        present = np.unpackbits(reader.take(np.uint8, -(-count // 8)), count=count).astype(bool)
        rows = np.zeros((count, length), np.float32)
        rows[present] = rest((int(present.sum()), length))
        return rows.reshape(shape)


_NO_PLACES = np.empty(0, np.int64)


def _rows(shape: Shape) -> tuple[int, int]:
    return (1, int(np.prod(shape))) if len(shape) < 2 else (shape[0], int(np.prod(shape[1:])))


def _gap_words(size: int, count: int) -> np.dtype[np.unsignedinteger]:
    """Return the word type for gaps of size / count on average: one byte up to 256, two bytes above."""
    return np.dtype("u1" if size <= 256 * count else "<u2")


def pack_gaps(places: np.ndarray, word: np.dtype[np.unsignedinteger]) -> np.ndarray:
    """Encode ascending places as the number of values between each and the previous one.

    The largest word means "this many, continued": in bytes a gap of 300 is 255, 45. If the word fits the mean gap, a
    place takes little more than one word.
    """
    top = np.iinfo(word).max
    gaps = np.diff(places, prepend=-1) - 1
    ends = np.cumsum(gaps // top + 1) - 1
    words = np.full(ends[-1] + 1 if len(ends) else 0, top, word)
    words[ends] = gaps % top
    return words


def unpack_gaps(words: np.ndarray) -> np.ndarray:
    """Decode the places that `pack_gaps` encoded."""
    ends = words != np.iinfo(words.dtype).max
    places: np.ndarray = np.cumsum(words, dtype=np.int64)[ends] + np.arange(np.count_nonzero(ends))
    return places
