"""Measures of classifiers are those of scikit-learn and torchmetrics, on any predictions."""

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.dummy import DummyClassifier
from torchmetrics.functional.classification import multiclass_calibration_error

from fedlab.data.class_measures import CALIBRATION_BINS, class_measures, client_measures, label_measures
from fedlab.data.metrics import accuracy


@st.composite
def predicted(draw):
    """Draw logits and labels of some examples, of few or many labels, some of which do not occur."""
    count, labels = draw(st.integers(1, 60)), draw(st.integers(2, 12))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = generator.normal(0, draw(st.sampled_from([0.1, 1, 10])), (count, labels)).astype(np.float32)
    return logits, generator.integers(0, draw(st.integers(1, labels)), count), generator.integers(0, labels, 50)


@given(predicted())
def test_measures_agree_with_scikit_learn(drawn):
    logits, labels, train = drawn
    most_common = int(np.bincount(train).argmax())
    found, predictions = class_measures(logits, labels, most_common), logits.argmax(axis=1)
    likelihoods = torch.from_numpy(logits).double().softmax(dim=1).numpy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels that do not occur
        macro = metrics.precision_recall_fscore_support(labels, predictions, average="macro", zero_division=0)
        balanced = metrics.balanced_accuracy_score(labels, predictions)
    baseline = DummyClassifier(strategy="most_frequent").fit(np.zeros((50, 1)), train)
    expected = {
        "macro-precision": macro[0],
        "macro-recall": macro[1],
        "macro-f1": macro[2],
        "weighted-f1": metrics.f1_score(labels, predictions, average="weighted", zero_division=0),
        "balanced-accuracy": balanced,
        "majority-baseline": baseline.score(np.zeros((len(labels), 1)), labels),
        "loss": metrics.log_loss(labels, likelihoods, labels=range(logits.shape[1])),
    }
    if likelihoods[np.arange(len(labels)), labels].min() < 1e-15:
        del expected["loss"]  # scikit-learn cuts such likelihoods off
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert accuracy(predictions, labels) == pytest.approx(metrics.accuracy_score(labels, predictions), abs=1e-9)


@given(predicted())
def test_the_calibration_error_agrees_with_torchmetrics(drawn):
    logits, labels, _ = drawn
    likelihoods = torch.from_numpy(logits).double().softmax(dim=1)
    confidences = likelihoods.max(dim=1).values.numpy() * CALIBRATION_BINS
    if np.abs(confidences - np.round(confidences)).min() < 1e-4:
        return  # at the edge of a bin float32 and float64 may differ
    expected = multiclass_calibration_error(
        likelihoods, torch.from_numpy(labels), num_classes=logits.shape[1], n_bins=CALIBRATION_BINS, norm="l1"
    )
    assert class_measures(logits, labels, 0)["calibration-error"] == pytest.approx(float(expected), abs=1e-5)


@given(predicted())
def test_measures_of_labels_agree_with_scikit_learn(drawn):
    logits, labels, _ = drawn
    predictions, ids = logits.argmax(axis=1), range(logits.shape[1])
    found = label_measures(predictions, labels, [f"label {each}" for each in ids])

    by_label = metrics.precision_recall_fscore_support(labels, predictions, labels=list(ids), zero_division=0)

    for label in ids:
        names = ("precision", "recall", "f1", "examples")
        expected = dict(zip(names, (column[label] for column in by_label), strict=True))
        assert found[f"label {label}"] == pytest.approx(expected, abs=1e-9)


def test_the_worst_tenth_are_the_tenth_of_the_clients_with_the_lowest_accuracies():
    accuracies = np.linspace(0, 1, 21)[::-1]
    found = client_measures(accuracies)
    assert found["mean"] == pytest.approx(0.5)
    assert found["worst-tenth"] == pytest.approx(np.mean([0.0, 0.05, 0.1])), "3 of 21"
    assert found["deviation"] == pytest.approx(np.std(accuracies))
    assert client_measures(np.array([0.25]))["worst-tenth"] == 0.25


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_measures_of_a_model_that_is_no_more_finite_can_be_written_as_json(bad):
    logits = np.array([[bad, 0.0], [0.0, 1.0]], np.float32)
    json.dumps(class_measures(logits, np.array([1, 0]), 0), allow_nan=False)
