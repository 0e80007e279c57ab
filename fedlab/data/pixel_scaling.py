"""How the pixels of a task become the numbers that a network reads, and how training images are varied."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fedlab.config.schema import TaskTable

_DIGITS = 6  # of a mean and a deviation that are measured


@dataclass(frozen=True, kw_only=True)
class PixelScaling:
    """The mean and standard deviation of each channel, of pixels from 0 to 1, by which images are normalised."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ImageTerms:
    """How images are normalised and, in training, varied: by windows of images padded with zeros, and by flips."""

    scaling: PixelScaling
    crops: bool = False
    crop_padding: int = 0
    flips: bool = False

    def plain(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return asdict(self)


def image_terms_from(plain: Mapping[str, Any]) -> ImageTerms:
    """Return what `ImageTerms.plain` wrote as a JSON object."""
    scaling = PixelScaling(**{key: tuple(values) for key, values in plain["scaling"].items()})
    return ImageTerms(**{**plain, "scaling": scaling})


def image_terms(table: TaskTable, training_pixels: np.ndarray) -> ImageTerms:
    """Return the terms of a task; a mean and deviation that it does not give are those of the training images."""
    if table.mean is not None and table.std is not None:
        scaling = PixelScaling(mean=tuple(table.mean), std=tuple(table.std))
    else:
        scaling = measured_scaling(training_pixels)
    crops = "crop" in table.augment
    return ImageTerms(
        scaling=scaling,
        crops=crops,
        crop_padding=table.crop_padding if crops else 0,
        flips="flip" in table.augment,
    )


def measured_scaling(pixels: np.ndarray) -> PixelScaling:
    """Return the mean and deviation of each channel of images, uint8 [N, C, H, W]; a channel of one value has 1.

    Sums are of whole numbers, so that every machine finds the same.
    """
    counts = np.stack([np.bincount(pixels[:, channel].ravel(), minlength=256) for channel in range(pixels.shape[1])])
    levels, total = np.arange(256), counts[0].sum()
    means = counts @ levels / total
    variances = counts @ levels**2 / total - means**2
    stds = [float(np.sqrt(variance)) if variance > 0 else 255.0 for variance in variances]
    return PixelScaling(
        mean=tuple(round(float(mean) / 255, _DIGITS) for mean in means),
        std=tuple(round(std / 255, _DIGITS) for std in stds),
    )


def augmented(pixels: np.ndarray, terms: ImageTerms, draws: np.random.Generator) -> np.ndarray:
    """Return a batch of training images [B, C, H, W], each at a window and a side of its own, as the draws say."""
    count, _, height, width = pixels.shape
    if terms.crops:
        pad = terms.crop_padding
        padded = np.pad(pixels, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        tops, lefts = draws.integers(0, 2 * pad + 1, (2, count))
        places = zip(padded, tops, lefts, strict=True)
        pixels = np.stack([image[:, top : top + height, left : left + width] for image, top, left in places])
    if terms.flips:
        flipped = draws.random((count, 1, 1, 1)) < 0.5
        pixels = np.where(flipped, pixels[..., ::-1], pixels)
    return pixels
