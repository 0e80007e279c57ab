"""Fewer values: only the largest of each array, or only the rows that are not all zero."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlab.codecs.codec import Codec, GarbledError, Reader
from fedlab.common.arrays import Shape


def top_k(*, share: float) -> Codec:
    """Only this share of each array's values, the largest in magnitude; `top-k:0.01` keeps one of a hundred."""
    return TopK(share=share)


def skip_zero_rows() -> Codec:
    """A bit a row, and only the rows that are not all zero: for embeddings, of which most tokens do not occur."""
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
        """Write where the largest values are, as gaps; they are left to encode, in the order of their places."""
        flat = array.reshape(-1)
        count = self._count(flat.size)
        places = np.sort(np.argpartition(np.abs(flat), flat.size - count)[flat.size - count :]) if count else _NO_PLACES
        words = pack_gaps(places, _gap_words(flat.size, count))
        return np.array([len(words)], "<u4").tobytes() + words.tobytes(), flat[places]

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Put the values where they were, among zeros."""
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
    """Rows (entries of the first axis) that are all zero cost a bit; a vector is one row."""

    lossless: ClassVar[bool] = True
    final: ClassVar[bool] = False

    def encode(self, array: np.ndarray, generator: np.random.Generator) -> tuple[bytes, np.ndarray]:
        """Write which rows are left to encode."""
        rows = array.reshape(_rows(array.shape))
        present = rows.any(axis=1)
        return np.packbits(present).tobytes(), rows[present]

    def decode(self, reader: Reader, shape: Shape, rest: Callable[[Shape], np.ndarray]) -> np.ndarray:
        """Put the rows where they were, among zeros."""
        count, length = _rows(shape)
        present = np.unpackbits(reader.take(np.uint8, -(-count // 8)), count=count).astype(bool)
        rows = np.zeros((count, length), np.float32)
        rows[present] = rest((int(present.sum()), length))
        return rows.reshape(shape)


_NO_PLACES = np.empty(0, np.int64)


def _rows(shape: Shape) -> tuple[int, int]:
    return (1, int(np.prod(shape))) if len(shape) < 2 else (shape[0], int(np.prod(shape[1:])))


def _gap_words(size: int, count: int) -> np.dtype[np.unsignedinteger]:
    """Return the word for gaps that are size / count on average: a byte up to 256, two above."""
    return np.dtype("u1" if size <= 256 * count else "<u2")


def pack_gaps(places: np.ndarray, word: np.dtype[np.unsignedinteger]) -> np.ndarray:
    """Return how many values lie between each place and the one before; ascending places, as words.

    The largest word says "so many, and go on": a gap of 300 is 255, 45 in bytes. Where the word fits the mean gap,
    a place takes little more than a word.
    """
    top = np.iinfo(word).max
    gaps = np.diff(places, prepend=-1) - 1
    ends = np.cumsum(gaps // top + 1) - 1
    words = np.full(ends[-1] + 1 if len(ends) else 0, top, word)
    words[ends] = gaps % top
    return words


def unpack_gaps(words: np.ndarray) -> np.ndarray:
    """Return the places that `pack_gaps` packed."""
    ends = words != np.iinfo(words.dtype).max
    places: np.ndarray = np.cumsum(words, dtype=np.int64)[ends] + np.arange(np.count_nonzero(ends))
    return places
