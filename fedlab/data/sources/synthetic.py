"""Made-up texts, all equally long: for measuring what a batch takes, where nothing is to be learnt."""

import datasets

_WORDS = ("anchor", "basin", "candle", "delta", "ember", "fable", "garden", "harbour", "island", "jacket", "kettle")
_LABELS = 20  # as many as 20NEWS has: the head is as large


def texts(*, count: int, words: int) -> datasets.DatasetDict:
    """Return `count` training texts of so many words, and one to validate and one to test on."""
    return datasets.DatasetDict(train=_rows(count, words), validation=_rows(1, words), test=_rows(1, words))


def _rows(count: int, words: int) -> datasets.Dataset:
    length = len(_WORDS)
    return datasets.Dataset.from_dict(
        {
            "text": [" ".join(_WORDS[(row + place * row) % length] for place in range(words)) for row in range(count)],
            "label": [f"label {row % _LABELS}" for row in range(count)],
        }
    )
