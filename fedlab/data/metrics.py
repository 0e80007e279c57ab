"""How good predictions are."""

from collections.abc import Iterator, Sequence

import numpy as np

from fedlab.data.tokens import IGNORED_LABEL


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of labels predicted, 0 to 1; both hold ids, of one shape; -100 in `labels` does not count."""
    counted = labels != IGNORED_LABEL
    return float((predictions == labels)[counted].mean()) if counted.any() else 0.0


def entity_f1(predictions: np.ndarray, labels: np.ndarray, label_names: Sequence[str]) -> float:
    """Return the F1 of entities, 0 to 1: one is found if its type and both its ends are (CoNLL-2003, micro average).

    `predictions` and `labels` are [N, T] ids of BIO tags `label_names`; where `labels` is -100 neither is read.
    """
    from seqeval.metrics import f1_score  # noqa: PLC0415  (brings scikit-learn: seconds, for tagging alone)

    expected = list(_tags(labels, labels, label_names))
    found = list(_tags(predictions, labels, label_names))
    return float(f1_score(expected, found, zero_division=0))


def _tags(ids: np.ndarray, labels: np.ndarray, label_names: Sequence[str]) -> Iterator[list[str]]:
    for row, counted in zip(ids, labels != IGNORED_LABEL, strict=True):
        yield [label_names[i] for i in row[counted]]
