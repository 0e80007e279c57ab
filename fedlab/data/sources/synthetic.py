"""Synthetic texts of equal length, to measure the cost of a batch; there is nothing to learn in them."""

import datasets

_WORDS = ("anchor", "basin", "candle", "delta", "ember", "fable", "garden", "harbour", "island", "jacket", "kettle")
_LABELS = 20  # the number of labels of 20NEWS, so that the head has the same size


def texts(*, count: int, words: int) -> datasets.DatasetDict:
    """Return `count` training texts of `words` words, and one text each for validation and test."""
    return datasets.DatasetDict(train=_rows(count, words), validation=_rows(1, words), test=_rows(1, words))


def _rows(count: int, words: int) -> datasets.Dataset:
    length = len(_WORDS)
    return datasets.Dataset.from_dict(
        {
            "text": [" ".join(_WORDS[(row + place * row) % length] for place in range(words)) for row in range(count)],
            "label": [f"label {row % _LABELS}" for row in range(count)],
        }
    )
