"""The splits of a task as images, with the terms by which they are normalised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from fedlab.config.schema import TaskTable
from fedlab.data.encode import Encoded
from fedlab.data.examples import Examples
from fedlab.data.images import ImageSet, store_images
from fedlab.data.labels import label_ids
from fedlab.data.pixel_scaling import image_terms
from fedlab.data.pixels import sizes
from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImageEncoder:
    """Encodes the splits of a task of images; image sets are cached in `cache_folder`."""

    table: TaskTable
    names: Sequence[str]
    cache_folder: Path

    def encoded(self, splits: Mapping[str, Examples], parts: Sequence[np.ndarray]) -> Encoded:
        """Return the splits as images; `parts` are the training examples of each client.

        Raises:
            UserError: the images of two splits differ in size, or a label is not in the set.
        """
        pixels = {split: np.stack(cast("list[np.ndarray]", part.texts)) for split, part in splits.items()}
        first = pixels["train"].shape[1:]
        for split, each in pixels.items():
            if each.shape[1:] != first:
                raise UserError(
                    f"split '{split}': has images of {sizes(each.shape[1:])}, and the training split of {sizes(first)}"
                )
        stored = {split: self._stored(pixels[split], part, split) for split, part in splits.items()}
        return Encoded(tokens=stored, parts=parts, lengths={}, images=image_terms(self.table, pixels["train"]))

    def _stored(self, pixels: np.ndarray, part: Examples, split: str) -> ImageSet:
        labels = np.array(label_ids(part, self.names, split), np.int64)
        return store_images(pixels, labels, cache_folder=self.cache_folder)
