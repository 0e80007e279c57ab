"""Evaluate a model on a shard of a split; shards are combined and scored by the caller."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fedlab.data.metrics import accuracy, entity_f1
from fedlab.models.peft.base import SplitPoint
from fedlab.models.split import Network
from fedlab.training.workbench import Split, Workbench

_SHARD_ROWS = 128  # fixed, so that no result depends on how many processes share the work
_BATCH_ROWS = 32


def measure(workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, at: SplitPoint) -> float:
    """Return the score of a model, split at `at`, on a split of the data, computed in this process."""
    rows = len(workbench.tokens(split))
    parts = [predict(workbench, arrays, split, start, stop, at) for start, stop in shards(rows)]
    return score(workbench, split, np.concatenate(parts))


def shards(rows: int) -> list[tuple[int, int]]:
    """Return the parts in which a split is measured, by its number of rows; they are the same in every process."""
    return [(start, min(start + _SHARD_ROWS, rows)) for start in range(0, rows, _SHARD_ROWS)]


def predict(
    workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, start: int, stop: int, at: SplitPoint
) -> np.ndarray:
    """Predict rows `start` to `stop` of a split: label ids [N], or [N, T] for tagging."""
    tokens = workbench.tokens(split)
    rows = np.arange(start, stop)
    frozen = workbench.activations.states(workbench.network, tokens, rows, split=split, at=at)
    lengths = torch.from_numpy(tokens.lengths[rows]).long()
    parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return predict_frozen(workbench.network, frozen, lengths, parameters, at)


@torch.inference_mode()
def predict_frozen(
    network: Network, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint
) -> np.ndarray:
    """Predict from frozen states: label ids [N], or [N, T] for tagging."""
    frozen, lengths = frozen.to(network.device), lengths.to(network.device)
    placed = {name: tensor.to(network.device) for name, tensor in parameters.items()}
    parts = [
        network.logits(frozen[row : row + _BATCH_ROWS], lengths[row : row + _BATCH_ROWS], placed, at).argmax(-1)
        for row in range(0, len(lengths), _BATCH_ROWS)
    ]
    return torch.cat(parts).cpu().numpy()


def score(workbench: Workbench, split: Split, predictions: np.ndarray) -> float:
    """Score the predictions of a whole split: accuracy, or entity-level F1 for tagging."""
    return score_rows(workbench, split, np.arange(len(workbench.tokens(split))), predictions)


def score_rows(workbench: Workbench, split: Split, rows: np.ndarray, predictions: np.ndarray) -> float:
    """Score the predictions of some rows of a split: accuracy, or entity-level F1 for tagging.

    Entities behind `task.max_length`, which no prediction can find, count as missed.
    """
    tokens = workbench.tokens(split)
    labels = np.asarray(tokens.labels[rows])
    if workbench.network.kind == "classification":
        return accuracy(predictions, labels)
    words = None if tokens.words is None else tokens.words.take(rows)
    return entity_f1(predictions, labels, workbench.label_names, words)
