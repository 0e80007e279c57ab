"""Metrics of predictions: accuracy and entity F1; and the score of a model."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Self

import numpy as np

from fedlab.data.tokens import IGNORED_LABEL, WordTags


class Score(float):
    """The score of a model, 0 to 1, the higher the better; `others` are other measures of it by name.

    It is a number, so that a strategy that compares scores need not know that there are others.
    """

    others: Mapping[str, float] = MappingProxyType({})

    @classmethod
    def of(cls, value: float, others: Mapping[str, float]) -> Self:
        """Return a score with other measures."""
        score = cls(value)
        score.others = others
        return score


def others_of(score: float) -> dict[str, float]:
    """Return the measures beside a score, none where it is a plain number."""
    return dict(score.others) if isinstance(score, Score) else {}


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy, 0 to 1, of ids of the same shape; entries with -100 in `labels` do not count."""
    counted = labels != IGNORED_LABEL
    return float((predictions == labels)[counted].mean()) if counted.any() else 0.0


def entity_f1(
    predictions: np.ndarray, labels: np.ndarray, label_names: Sequence[str], words: WordTags | None = None
) -> float:
    """Return the entity F1, 0 to 1: an entity counts if its type and both ends match (CoNLL-2003, micro average).

    `predictions` and `labels` are [N, T] ids of the BIO tags `label_names`; entries with -100 in `labels` are ignored.
    Give `words` if texts may have been cut: words without a token count as predicted O, so that their entities are
    missed.
    """
    from seqeval.metrics import f1_score  # noqa: PLC0415  (imports scikit-learn: seconds, only for tagging)

    if words is None:
        expected = list(_tags(labels, labels, label_names))
        found = list(_tags(predictions, labels, label_names))
    else:
        expected = list(_tags(words.tags, words.tags, label_names))
        found = list(_of_words(_tags(predictions, labels, label_names), words))
    return float(f1_score(expected, found, zero_division=0))


def _tags(ids: np.ndarray, labels: np.ndarray, label_names: Sequence[str]) -> Iterator[list[str]]:
    for row, counted in zip(ids, labels != IGNORED_LABEL, strict=True):
        yield [label_names[i] for i in row[counted]]


def _of_words(found: Iterator[list[str]], words: WordTags) -> Iterator[list[str]]:
    """Yield a tag for each word: O where no token is there to predict one for."""
    for row, seen, inside in zip(found, words.seen, words.tags != IGNORED_LABEL, strict=True):
        tags = iter(row)
        yield [next(tags) if shown else "O" for shown in seen[inside]]
