from types import SimpleNamespace

import numpy as np
import pytest

from fedlab.data.tokens import TokenSet, WordTags
from fedlab.training.evaluate import score, score_rows

NAMES = ("B-x", "I-x", "O")
BX, IX, O = range(3)  # noqa: E741 - the tag is called O


def _workbench(kind, labels, words=None):
    lengths = np.full(len(labels), 3, np.int32)
    ids = np.zeros((len(labels), 3), np.int32)
    tokens = TokenSet(input_ids=ids, lengths=lengths, whole_lengths=lengths, labels=labels, words=words, digest="")
    return SimpleNamespace(
        network=SimpleNamespace(kind=kind),
        label_names=NAMES,
        tokens={"test": tokens}.__getitem__,
        samples={"test": tokens, "train": tokens}.__getitem__,
        task=SimpleNamespace(language=None),
    )


def test_perfect_predictions_of_what_was_kept_miss_the_entities_that_were_cut_off():
    labels = np.array([[BX, IX, O], [O, O, BX]])
    tags = np.array([[BX, IX, O, -100], [O, O, BX, BX]])
    words = WordTags(tags=tags, seen=np.array([[True, True, True, False], [True, True, True, False]]))
    workbench = _workbench("tagging", labels, words)
    assert score(workbench, "test", labels) == pytest.approx(2 * 2 / (2 + 3))
    assert score_rows(workbench, "test", np.array([0]), labels[:1]) == 1.0
    assert score_rows(workbench, "test", np.array([1]), labels[1:]) == pytest.approx(2 * 1 / (1 + 2))


def test_classifications_are_scored_by_accuracy_over_the_rows_asked_for():
    workbench = _workbench("classification", np.array([0, 1, 1]))
    logits = np.eye(3, dtype=np.float32)[[0, 1, 0]]
    found = score(workbench, "test", logits)
    assert found == pytest.approx(2 / 3)
    assert found.others["macro-recall"] == pytest.approx((1 + 1 / 2) / 2)
    assert found.others["majority-baseline"] == pytest.approx(2 / 3)
    assert found.labels["I-x"] == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "examples": 2})
    assert score_rows(workbench, "test", np.array([2]), logits[2:]) == 0.0
