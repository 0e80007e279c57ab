"""Measures of a classifier beside accuracy, from its logits, and those of each label.

They are written with NumPy, as importing scikit-learn would be a good part of a short run; tests compare the two.
"""

from collections.abc import Sequence

import numpy as np

_LARGEST_LOGIT = 1e30
CALIBRATION_BINS = 15  # as Guo et al. 2017 (arXiv 1706.04599) use them


def class_measures(logits: np.ndarray, labels: np.ndarray, most_common: int) -> dict[str, float]:
    """Return measures of the predictions of N examples, each 0 to 1 but the loss.

    `logits` are [N, C], `labels` are N ids below C, and `most_common` is the label that most training examples have.
    Means over labels are over those that an example has or is predicted to have; balanced accuracy is the mean recall
    over those that an example has. A precision, recall or F1 without any example is 0. The loss is the mean cross
    entropy in nats. The calibration error is the mean distance of confidence and accuracy over 15 bins of equal width,
    weighted by their examples (Guo et al. 2017, equation 3).
    """
    predictions = logits.argmax(axis=1)
    # Numbers that JSON can hold, for a model that is no more finite.
    logits = np.clip(np.nan_to_num(np.asarray(logits, np.float64)), -_LARGEST_LOGIT, _LARGEST_LOGIT)
    precision, recall, f1, examples, predicted = _by_label(predictions, labels, logits.shape[1])
    seen = (examples > 0) | (predicted > 0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_likelihoods = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "macro-precision": float(precision[seen].mean()),
        "macro-recall": float(recall[seen].mean()),
        "macro-f1": float(f1[seen].mean()),
        "weighted-f1": float((f1 * examples).sum() / examples.sum()),
        "balanced-accuracy": float(recall[examples > 0].mean()),
        "majority-baseline": float((labels == most_common).mean()),
        "loss": float(-log_likelihoods[np.arange(len(labels)), labels].mean()),
        "calibration-error": _calibration_error(np.exp(log_likelihoods.max(axis=1)), predictions == labels),
    }


def label_measures(predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and the number of examples of each label, by its name."""
    precision, recall, f1, examples, _ = _by_label(predictions, labels, len(names))
    return {
        name: {
            "precision": float(precision[label]),
            "recall": float(recall[label]),
            "f1": float(f1[label]),
            "examples": int(examples[label]),
        }
        for label, name in enumerate(names)
    }


def client_measures(accuracies: np.ndarray) -> dict[str, float]:
    """Return how the accuracies of clients are distributed: mean, mean of the worst tenth, and standard deviation.

    The worst tenth are the tenth of the clients, at least one, with the lowest accuracies (Li et al. 2020, q-FFL).
    """
    ordered = np.sort(np.asarray(accuracies, np.float64))
    worst = ordered[: -(-len(ordered) // 10)]
    return {"mean": float(ordered.mean()), "worst-tenth": float(worst.mean()), "deviation": float(ordered.std())}


def _by_label(predictions: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return precision, recall and F1 of each label, how many examples have it, and how many are predicted to."""
    right = np.bincount(labels[predictions == labels], minlength=count).astype(np.float64)
    examples, predicted = np.bincount(labels, minlength=count), np.bincount(predictions, minlength=count)
    precision = right / np.maximum(predicted, 1)
    recall = right / np.maximum(examples, 1)
    f1 = 2 * right / np.maximum(examples + predicted, 1)
    return precision, recall, f1, examples, predicted


def _calibration_error(confidences: np.ndarray, right: np.ndarray) -> float:
    bins = np.clip(np.ceil(confidences * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    differences = np.bincount(bins, weights=right - confidences, minlength=CALIBRATION_BINS)
    return float(np.abs(differences).sum() / len(right))
