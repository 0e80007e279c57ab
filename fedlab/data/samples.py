"""The examples of a split as a model reads them: texts as tokens, or images."""

from pathlib import Path

from fedlab.data.images import ImageSet, holds_images, read_images
from fedlab.data.tokens import TokenSet, read_tokens

SampleSet = TokenSet | ImageSet


def read_samples(cache_folder: Path, digest: str) -> SampleSet:
    """Map the set of this digest into memory; raises `FileNotFoundError` if it is not in the cache."""
    read = read_images if holds_images(cache_folder / digest) else read_tokens
    found: SampleSet = read(cache_folder, digest)
    return found
