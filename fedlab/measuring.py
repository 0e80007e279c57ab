"""How good a model is on texts: predictions of a part of a split, to be put together and scored."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fedlab.data.metrics import accuracy, entity_f1
from fedlab.models.arrays import configuration_of
from fedlab.models.network import Network
from fedlab.workbench import Split, Workbench

SHARD_ROWS = 128  # fixed, so that no result depends on how many processes share the work
_BATCH_ROWS = 32


def predict(workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, start: int, stop: int) -> np.ndarray:
    """Predict rows `start` to `stop` of a split: label ids [N], or [N, T] for tagging."""
    tokens = workbench.tokens(split)
    depth = configuration_of(arrays).depth
    rows = np.arange(start, stop)
    frozen = workbench.activations.states(workbench.network, tokens, rows, split=split, depth=depth)
    lengths = torch.from_numpy(tokens.lengths[rows]).long()
    parameters = {name: torch.tensor(array) for name, array in arrays.items()}
    return predict_frozen(workbench.network, frozen, lengths, parameters, depth)


@torch.inference_mode()
def predict_frozen(
    network: Network, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int
) -> np.ndarray:
    """Predict from frozen states: label ids [N], or [N, T] for tagging."""
    parts = [
        network.logits(frozen[at : at + _BATCH_ROWS], lengths[at : at + _BATCH_ROWS], parameters, depth).argmax(-1)
        for at in range(0, len(lengths), _BATCH_ROWS)
    ]
    return torch.cat(parts).numpy()


def score(workbench: Workbench, split: Split, predictions: np.ndarray) -> float:
    """Score the predictions of a whole split: accuracy, or entity-level F1 for tagging."""
    labels = np.asarray(workbench.tokens(split).labels)
    if workbench.network.kind == "classification":
        return accuracy(predictions, labels)
    return entity_f1(predictions, labels, workbench.label_names)
