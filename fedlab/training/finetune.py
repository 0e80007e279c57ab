"""Local training of whole blocks or networks, one client at a time, for trained weights cannot be shared among clients.

It gives what autograd and the optimisers of torch give on the library's own model, without dropout. Means and
variances of batch norms have no gradients: each batch moves them, and weight decay does not. Of the word
embeddings only the rows that the client's batches touch take part in the steps. The others never get a gradient, so
that weight decay alone moves them, all by one factor.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlab.common.arrays import Arrays, in_dtypes_of
from fedlab.models.base import TokenIds
from fedlab.models.peft.whole_blocks import EMBEDDING_NAMES
from fedlab.models.split_model import SplitModel
from fedlab.training.descent import descent
from fedlab.training.local import (
    LocalTraining,
    TrainingExamples,
    TrainingResult,
    batch_rows,
    learning_rates,
    take_batch,
    trainable,
)

_WORDS = EMBEDDING_NAMES["words"]
Vary = Callable[[Tensor], Tensor]  # what a batch of inputs goes through before the model


def as_they_are(inputs: Tensor) -> Tensor:
    """Return inputs without a change."""
    return inputs


def finetune(
    network: SplitModel,
    examples: TrainingExamples,
    arrays: Mapping[str, np.ndarray],
    settings: LocalTraining,
    generator: np.random.Generator,
    *,
    proximal_mu: float = 0.0,
    vary: Vary = as_they_are,
) -> TrainingResult:
    """Train whole blocks and head on the examples; `proximal_mu` pulls them back to where they started (FedProx).

    `vary` augments each batch.

    Raises:
        UserError: some arrays are not of floats.
    """
    plan = batch_rows(len(examples.lengths), settings, generator)
    steps, loss_sum = torch.tensor([len(plan)]), torch.zeros((), device=network.device)
    # Pulled back as well as decayed, a row moves by a sum of the two, which is not the same for all rows.
    every_word = bool(proximal_mu and settings.weight_decay)
    reads_words = network.inputs_at(examples.at) is TokenIds and not every_word
    words = _words_of(examples, plan) if reads_words else None
    model = _Model.of(trainable(arrays), words, network.statistics, network.device)
    examples = examples.on(network.device)
    leaves = model.leaves()
    step = descent(leaves, settings, proximal_mu=proximal_mu)
    for number, rows in enumerate(plan):
        frozen, lengths, labels = take_batch([examples], [rows])
        loss = network.loss(model.renumbered(vary(frozen)), lengths, labels, model.parameters, examples.at, 1).sum()
        rate = float(learning_rates(settings, number, steps))
        step(torch.autograd.grad(loss, leaves, materialize_grads=True), rate)
        loss_sum += loss.detach()
    trained = in_dtypes_of(model.arrays(), arrays)
    return TrainingResult(arrays=trained, loss=float(loss_sum) / len(plan), batches=len(plan))


@dataclass(frozen=True, kw_only=True)
class _Model:
    """The parameters of a client's model, the word embeddings restricted to some rows where these are trained.

    `decayed` is a parameter without a use: what weight decay makes of it, 1 at first, it makes of a row left out.
    """

    start: Mapping[str, np.ndarray]
    parameters: Mapping[str, Tensor]
    words: Tensor | None  # [U], the rows that take part; None: all
    decayed: Tensor  # [1]

    @classmethod
    def of(
        cls, arrays: Mapping[str, np.ndarray], words: Tensor | None, statistics: Collection[str], device: torch.device
    ) -> "_Model":
        taken = {
            name: array if words is None or name != _WORDS else array[words.numpy()] for name, array in arrays.items()
        }
        parameters = {
            name: torch.tensor(array, device=device, requires_grad=name not in statistics)
            for name, array in taken.items()
        }
        restricted = words.to(device) if words is not None and _WORDS in arrays else None
        decayed = torch.ones(1, device=device, requires_grad=True)
        return cls(start=arrays, parameters=parameters, words=restricted, decayed=decayed)

    def leaves(self) -> list[Tensor]:
        """Return what the optimiser steps."""
        trained = [parameter for parameter in self.parameters.values() if parameter.requires_grad]
        return [*trained, *([] if self.words is None else [self.decayed])]

    def renumbered(self, frozen: Tensor) -> Tensor:
        """Return token ids as rows of the restricted word embeddings; frozen states as they are."""
        return frozen if self.words is None else torch.searchsorted(self.words, frozen)

    def arrays(self) -> Arrays:
        """Return the arrays as trained."""
        trained = {name: parameter.detach().cpu().numpy() for name, parameter in self.parameters.items()}
        if self.words is None:
            return trained
        every = self.start[_WORDS] * np.float32(self.decayed.item())
        every[self.words.cpu().numpy()] = trained[_WORDS]
        return trained | {_WORDS: every}


def _words_of(examples: TrainingExamples, plan: Sequence[np.ndarray]) -> Tensor:
    """Return the token ids in all batches, in order, of examples that are texts."""
    rows = np.unique(np.concatenate(plan))
    ids = examples.states(rows, int(examples.lengths[torch.from_numpy(rows)].max()))
    return torch.from_numpy(np.unique(ids.numpy()))
