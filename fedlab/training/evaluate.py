"""Evaluate a model on a shard of a split; shards are combined and scored by the caller."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fedlab.data.class_measures import class_measures, label_measures
from fedlab.data.label_words import LabelWords
from fedlab.data.language import Language
from fedlab.data.language_metrics import score_by, text_measures, token_measures, word_measures
from fedlab.data.metrics import Score, accuracy, entity_score
from fedlab.models.peft.base import SplitPoint
from fedlab.models.split import Network
from fedlab.models.split_model import SplitModel
from fedlab.training.workbench import Split, Workbench
from fedlab.training.write import write

_SHARD_ROWS = 128  # fixed, so that no result depends on how many processes share the work
_BATCH_ROWS = 32
_WRITTEN_ROWS = 16  # texts that a process continues at a time


def measure(workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, at: SplitPoint) -> float:
    """Return the score of a model, split at `at`, on a split of the data, computed in this process."""
    rows = len(workbench.samples(split))
    parts = [predict(workbench, arrays, split, start, stop, at) for start, stop in shards(rows)]
    texts = [write(workbench, arrays, split, start, stop, at) for start, stop in shards_to_write(workbench, split)]
    return score(workbench, split, np.concatenate(parts), np.concatenate(texts) if texts else None)


def shards(rows: int) -> list[tuple[int, int]]:
    """Return the parts in which a split is measured, by its number of rows; they are the same in every process."""
    return [(start, min(start + _SHARD_ROWS, rows)) for start in range(0, rows, _SHARD_ROWS)]


def shards_to_write(workbench: Workbench, split: Split) -> list[tuple[int, int]]:
    """Return the parts in which a model writes texts of a split to be scored by; none for most tasks."""
    language = workbench.task.language
    if language is None or not language.writes:
        return []
    rows = min(language.texts, len(workbench.tokens(split)))
    return [(start, min(start + _WRITTEN_ROWS, rows)) for start in range(0, rows, _WRITTEN_ROWS)]


def predict(
    workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, start: int, stop: int, at: SplitPoint
) -> np.ndarray:
    """Predict rows `start` to `stop` of a split; see `predict_rows`."""
    rows = np.arange(start, stop)
    frozen = workbench.activations.states(workbench.network, workbench.samples(split), rows, split=split, at=at)
    parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return predict_rows(workbench, split, rows, frozen, parameters, at)


def predict_rows(
    workbench: Workbench,
    split: Split,
    rows: np.ndarray,
    frozen: Tensor,
    parameters: Mapping[str, Tensor],
    at: SplitPoint,
) -> np.ndarray:
    """Predict rows of a split from their frozen states: logits [N, C], or for tagging label ids [N, T].

    Of language these are figures of its guesses, [N, 3], or the likelihoods of label words
    (`fedlab.models.heads.next_token`).
    """
    samples, language = workbench.samples(split), workbench.task.language
    lengths = torch.from_numpy(samples.lengths[rows]).long()
    if language is None:
        return predict_frozen(workbench.network, frozen, lengths, parameters, at)
    labels = torch.from_numpy(np.asarray(samples.labels[rows])).long()
    words = language.words if split != "train" else None
    return _guess(workbench.transformer, frozen, lengths, labels, parameters, at, words)


@torch.inference_mode()
def _guess(
    network: Network,
    frozen: Tensor,
    lengths: Tensor,
    labels: Tensor,
    parameters: Mapping[str, Tensor],
    at: SplitPoint,
    words: LabelWords | None,
) -> np.ndarray:
    device, head = network.device, network.vocabulary_head
    frozen, lengths, labels = frozen.to(device), lengths.to(device), labels.to(device)
    placed = {name: tensor.to(device) for name, tensor in parameters.items()}
    columns = None if words is None else torch.from_numpy(words.columns()).to(device)
    parts = []
    for row in range(0, len(lengths), _BATCH_ROWS):
        batch = slice(row, row + _BATCH_ROWS)
        states = frozen[batch]
        features, guessed = network.scored_features(
            states, lengths[batch], labels[batch][:, : states.shape[1]], placed, at
        )
        found = head.guesses(features, guessed) if columns is None else head.likelihoods(features, guessed, columns)
        parts.append(found)
    return torch.cat(parts).cpu().numpy()


@torch.inference_mode()
def predict_frozen(
    network: SplitModel, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint
) -> np.ndarray:
    """Predict from frozen states: logits [N, C], or for tagging label ids [N, T]."""
    frozen, lengths = frozen.to(network.device), lengths.to(network.device)
    placed = {name: tensor.to(network.device) for name, tensor in parameters.items()}
    parts = []
    for row in range(0, len(lengths), _BATCH_ROWS):
        batch = slice(row, row + _BATCH_ROWS)
        logits = network.logits(frozen[batch], lengths[batch], placed, at)
        parts.append(logits.argmax(-1) if network.kind == "tagging" else logits.float())
    return torch.cat(parts).cpu().numpy()


def score(workbench: Workbench, split: Split, predictions: np.ndarray, written: np.ndarray | None = None) -> Score:
    """Score the predictions of a whole split; see `score_rows`."""
    return score_rows(workbench, split, np.arange(len(workbench.samples(split))), predictions, written)


def score_rows(
    workbench: Workbench, split: Split, rows: np.ndarray, predictions: np.ndarray, written: np.ndarray | None = None
) -> Score:
    """Score the predictions of some rows of a split: by accuracy, or entity-level F1 for tagging; others are beside it.

    Entities behind `task.max_length`, which no prediction can find, count as missed. Language is scored by what its
    task says. Where that cannot be, it is scored by token accuracy: training texts are not read for label words, and
    not all texts are `written` by the model.
    """
    samples, language = workbench.samples(split), workbench.task.language
    if language is not None:
        return _score_language(workbench, language, split, predictions, written)
    labels = np.asarray(samples.labels[rows])
    if workbench.network.kind != "tagging":
        return _score_classes(workbench, predictions, labels)
    tagged = workbench.tokens(split).words
    words = None if tagged is None else tagged.take(rows)
    return entity_score(predictions, labels, workbench.label_names, words)


def _score_classes(workbench: Workbench, logits: np.ndarray, labels: np.ndarray) -> Score:
    predictions = logits.argmax(axis=1)
    most_common = int(np.bincount(np.asarray(workbench.samples("train").labels)).argmax())
    return Score.of(
        accuracy(predictions, labels),
        class_measures(logits, labels, most_common),
        label_measures(predictions, labels, workbench.label_names),
    )


def _score_language(
    workbench: Workbench, language: Language, split: Split, predictions: np.ndarray, written: np.ndarray | None
) -> Score:
    if language.words is not None and split != "train":
        return score_by("accuracy", word_measures(predictions, language.answers[split], language.words))
    measures = token_measures(predictions)
    if written is not None:
        texts = workbench.texts
        measures |= text_measures(texts.decoded(written), texts.references(workbench.tokens(split), len(written)))
    return score_by(language.scored_by if language.scored_by in measures else "token-accuracy", measures)
