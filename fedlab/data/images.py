"""Images as arrays: decoded once a machine, kept on disk and mapped into the memory of every process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlab.common.cache_folder import publish

_LAYOUT = 1  # part of the digest: raise it when the files of an image set change
_PIXELS, _LABELS = "pixels.npy", "labels.npy"


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """N images of C channels, height H and width W, as arrays on disk."""

    pixels: np.ndarray  # uint8 [N, C, H, W]
    labels: np.ndarray  # int64 [N]
    digest: str  # of the pixels and labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> np.ndarray:
        """Return what a model reads."""
        return self.pixels

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return channels, height and width."""
        return self.pixels.shape[1:]

    @property
    def lengths(self) -> np.ndarray:
        """Return 1 for each image: none has padding."""
        return np.ones(len(self), np.int32)


def store_images(pixels: np.ndarray, labels: np.ndarray, *, cache_folder: Path) -> ImageSet:
    """Keep images in the cache, if they are not in it, and map them from there."""
    sha = hashlib.sha256(f"images {_LAYOUT} {pixels.shape}".encode())
    sha.update(np.ascontiguousarray(pixels).data)
    sha.update(np.ascontiguousarray(labels).data)
    digest = sha.hexdigest()

    def write(folder: Path) -> None:
        np.save(folder / _PIXELS, pixels)
        np.save(folder / _LABELS, labels)

    publish(cache_folder / digest, write, needs=(_PIXELS, _LABELS))
    return read_images(cache_folder, digest)


def holds_images(folder: Path) -> bool:
    """Tell whether a folder of the cache has an image set."""
    return (folder / _PIXELS).exists()


def read_images(cache_folder: Path, digest: str) -> ImageSet:
    """Map the image set of this digest into memory; raises `FileNotFoundError` if it is not in the cache."""
    folder = cache_folder / digest
    pixels, labels = (np.load(folder / name, mmap_mode="r") for name in (_PIXELS, _LABELS))
    return ImageSet(pixels=pixels, labels=labels, digest=digest)
