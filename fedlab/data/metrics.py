"""Metrics of predictions: accuracy and entity F1."""

from collections.abc import Iterator, Sequence

import numpy as np

from fedlab.data.tokens import IGNORED_LABEL


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy, 0 to 1, of ids of the same shape; entries with -100 in `labels` do not count."""
    counted = labels != IGNORED_LABEL
    return float((predictions == labels)[counted].mean()) if counted.any() else 0.0


def entity_f1(predictions: np.ndarray, labels: np.ndarray, label_names: Sequence[str]) -> float:
    """Return the entity F1, 0 to 1: an entity counts if its type and both ends match (CoNLL-2003, micro average).

    `predictions` and `labels` are [N, T] ids of the BIO tags `label_names`; entries with -100 in `labels` are ignored.
    """
    from seqeval.metrics import f1_score  # noqa: PLC0415  (imports scikit-learn: seconds, only for tagging)

    expected = list(_tags(labels, labels, label_names))
    found = list(_tags(predictions, labels, label_names))
    return float(f1_score(expected, found, zero_division=0))


def _tags(ids: np.ndarray, labels: np.ndarray, label_names: Sequence[str]) -> Iterator[list[str]]:
    for row, counted in zip(ids, labels != IGNORED_LABEL, strict=True):
        yield [label_names[i] for i in row[counted]]
