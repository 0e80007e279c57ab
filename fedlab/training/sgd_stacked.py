"""Local training of adapters and head, of several clients side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlab.common.arrays import in_dtypes_of
from fedlab.models.peft.base import SplitPoint
from fedlab.models.split import Network
from fedlab.training.local import (
    LocalTraining,
    TrainingExamples,
    TrainingResult,
    batch_rows,
    learning_rates,
    take_batch,
    trainable,
)
from fedlab.training.stacked import Stack, StackedStep, adamw, clip_norms, sgd, stack


@dataclass(frozen=True, kw_only=True)
class Trainee:
    """One of several clients that are trained together: its examples, and the draws of its batches."""

    examples: TrainingExamples
    generator: np.random.Generator


def train_together(
    network: Network,
    trainees: Sequence[Trainee],
    arrays: Mapping[str, np.ndarray],
    settings: LocalTraining,
    *,
    proximal_mu: float = 0.0,
) -> list[TrainingResult]:
    """Train several clients from the same arrays, step by step side by side; each gets what it would get alone.

    The frozen weights are read once for all of them. Results agree with training alone to the rounding of float32
    sums, since the products are the same and only their blocking differs. `proximal_mu` pulls each back to where it
    started (FedProx). All trainees have the same split point, below heads or adapters.

    Raises:
        UserError: some arrays are not of floats.
    """
    drawn = [batch_rows(len(each.examples.lengths), settings, each.generator) for each in trainees]
    # Longest first, so that the clients that still have a batch are always the first ones.
    order = sorted(range(len(trainees)), key=lambda place: -len(drawn[place]))
    plans = [drawn[place] for place in order]
    examples = [trainees[place].examples.on(network.device) for place in order]
    models = stack(trainable(arrays), len(trainees), device=network.device)
    losses = _descend(network, models, examples, plans, settings, proximal_mu)
    results = {
        place: TrainingResult(
            arrays=in_dtypes_of(models.arrays(row), arrays), loss=float(losses[row]), batches=len(plans[row])
        )
        for row, place in enumerate(order)
    }
    return [results[place] for place in range(len(trainees))]


def _descend(
    network: Network,
    models: Stack,
    examples: Sequence[TrainingExamples],
    plans: Sequence[Sequence[np.ndarray]],
    settings: LocalTraining,
    proximal_mu: float,
) -> Tensor:
    """Step all models through their batches, of which the first has most; return the mean loss of each."""
    start = models.values.clone() if proximal_mu else None
    update = _optimizer(models.values, settings)
    losses = torch.zeros(len(plans), device=network.device)
    steps = torch.tensor([len(plan) for plan in plans], device=network.device)
    for step in range(len(plans[0])):
        active = sum(len(plan) > step for plan in plans)
        batch = take_batch(examples[:active], [plan[step] for plan in plans[:active]])
        losses[:active] += _backpropagated(network, models, batch, examples[0].at, active)
        with torch.no_grad():
            values, gradients = models.values[:active], models.gradients[:active]
            if start is not None:
                gradients.add_(values - start[:active], alpha=proximal_mu)
            if settings.clip_norm is not None:
                clip_norms(gradients, settings.clip_norm)
            update(values, gradients, learning_rates(settings, step, steps[:active]), step + 1)
    return losses / steps


def _backpropagated(
    network: Network, models: Stack, batch: tuple[Tensor, Tensor, Tensor], at: SplitPoint, active: int
) -> Tensor:
    """Put the gradients of a batch of the first `active` models in place; return the loss of each."""
    frozen, lengths, labels = batch
    parameters = {name: tensor[:active] for name, tensor in models.parameters.items()}
    means = network.loss(frozen, lengths, labels, parameters, at, active)
    models.gradients.zero_()
    torch.autograd.backward(means.sum())
    return means.detach()


def _optimizer(values: Tensor, settings: LocalTraining) -> StackedStep:
    if settings.optimizer == "adamw":
        return adamw(values, weight_decay=settings.weight_decay)
    return sgd(values, momentum=settings.momentum, weight_decay=settings.weight_decay)
