"""Metrics of predictions: accuracy and those of entities; and the score of a model."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Self

import numpy as np

from fedlab.data.tokens import IGNORED_LABEL, WordTags

_OUTSIDE = "O"  # the tag of a word in no entity


class Score(float):
    """The score of a model, 0 to 1, the higher the better; `others` are other measures of it by name.

    `labels` are those of each label by its name. It is a number, so that a strategy that compares scores need not know
    that there are others.
    """

    others: Mapping[str, float] = MappingProxyType({})
    labels: Mapping[str, Mapping[str, float]] = MappingProxyType({})

    @classmethod
    def of(
        cls,
        value: float,
        others: Mapping[str, float],
        labels: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    ) -> Self:
        """Return a score with other measures."""
        score = cls(value)
        score.others, score.labels = others, labels
        return score

    def by(self, name: str, own: str) -> "Score":
        """Return the score by one of the others; this one, whose name is `own`, is among them then."""
        if name not in self.others:
            return self
        return Score.of(self.others[name], {own: float(self), **_without(self.others, name)}, self.labels)


def others_of(score: float) -> dict[str, float]:
    """Return the measures beside a score, none where it is a plain number."""
    return dict(score.others) if isinstance(score, Score) else {}


def labels_of(score: float) -> dict[str, dict[str, float]]:
    """Return the measures of each label, none where the score is a plain number."""
    return {name: dict(each) for name, each in score.labels.items()} if isinstance(score, Score) else {}


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy, 0 to 1, of ids of the same shape; entries with -100 in `labels` do not count."""
    counted = labels != IGNORED_LABEL
    return float((predictions == labels)[counted].mean()) if counted.any() else 0.0


def entity_score(
    predictions: np.ndarray, labels: np.ndarray, label_names: Sequence[str], words: WordTags | None = None
) -> Score:
    """Return the entity F1, 0 to 1: an entity counts if its type and both ends match (CoNLL-2003, micro average).

    `predictions` and `labels` are [N, T] ids of the BIO tags `label_names`; entries with -100 in `labels` are ignored.
    Give `words` if texts may have been cut: words without a token count as predicted O, so that their entities are
    missed. Beside it are precision, recall, the F1's mean over the types of entities, and the accuracy of the tags of
    tokens; by type, precision, recall, F1 and the number of entities.
    """
    from seqeval.metrics import classification_report  # noqa: PLC0415  (imports scikit-learn: seconds)

    if words is None:
        expected = list(_tags(labels, labels, label_names))
        found = list(_tags(predictions, labels, label_names))
    else:
        expected = list(_tags(words.tags, words.tags, label_names))
        found = list(_of_words(_tags(predictions, labels, label_names), words))
    tagged = {"token-accuracy": accuracy(predictions, labels)}
    if all(tag == _OUTSIDE for sentence in (*expected, *found) for tag in sentence):
        return Score.of(0.0, {"precision": 0.0, "recall": 0.0, "macro-f1": 0.0, **tagged})
    report = classification_report(expected, found, zero_division=0, output_dict=True)
    micro, macro = report.pop("micro avg"), report.pop("macro avg")
    del report["weighted avg"]
    others = {
        "precision": float(micro["precision"]),
        "recall": float(micro["recall"]),
        "macro-f1": float(macro["f1-score"]),
        **tagged,
    }
    return Score.of(float(micro["f1-score"]), others, {name: _of_type(each) for name, each in report.items()})


def _of_type(report: Mapping[str, float]) -> dict[str, float]:
    return {
        "precision": float(report["precision"]),
        "recall": float(report["recall"]),
        "f1": float(report["f1-score"]),
        "examples": int(report["support"]),
    }


def _without(measures: Mapping[str, float], name: str) -> dict[str, float]:
    return {each: value for each, value in measures.items() if each != name}


def _tags(ids: np.ndarray, labels: np.ndarray, label_names: Sequence[str]) -> Iterator[list[str]]:
    for row, counted in zip(ids, labels != IGNORED_LABEL, strict=True):
        yield [label_names[i] for i in row[counted]]


def _of_words(found: Iterator[list[str]], words: WordTags) -> Iterator[list[str]]:
    """Yield a tag for each word: O where no token is there to predict one for."""
    for row, seen, inside in zip(found, words.seen, words.tags != IGNORED_LABEL, strict=True):
        tags = iter(row)
        yield [next(tags) if shown else _OUTSIDE for shown in seen[inside]]
