"""Local training of adapters and head, of several clients side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlab.errors import UserError
from fedlab.models.peft.bottleneck import Whole, cut_of
from fedlab.models.split import Network
from fedlab.training.local import (
    LocalTraining,
    TrainingExamples,
    TrainingResult,
    batch_rows,
    learning_rates,
    take_batch,
)
from fedlab.training.stacked import StackedStep, adamw, clip_norms, sgd, stack


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
    started (FedProx).

    Raises:
        UserError: the arrays hold whole blocks (`fedlab.training.finetune` trains them).
    """
    depth = cut_of(arrays)
    if isinstance(depth, Whole):
        raise UserError("the arrays hold whole blocks, and this client trains adapters; see client.trains")
    plans = [batch_rows(len(each.examples.lengths), settings, each.generator) for each in trainees]
    # Longest first: those that still have a batch are always the first so many.
    order = sorted(range(len(trainees)), key=lambda place: -len(plans[place]))
    device = network.device
    examples = [trainees[place].examples.on(device) for place in order]
    plans = [plans[place] for place in order]
    models = stack(arrays, len(trainees), device=device)
    start = models.values.clone() if proximal_mu else None
    update = _optimizer(models.values, settings)
    losses = torch.zeros(len(trainees), device=device)
    steps = torch.tensor([len(plan) for plan in plans], device=device)
    for step in range(len(plans[0])):
        active = sum(len(plan) > step for plan in plans)
        frozen, lengths, labels = take_batch(examples[:active], [plan[step] for plan in plans[:active]])
        parameters = {name: tensor[:active] for name, tensor in models.parameters.items()}
        means = network.losses(network.logits(frozen, lengths, parameters, depth), labels, active)
        models.gradients.zero_()
        torch.autograd.backward(means.sum())
        losses[:active] += means.detach()
        with torch.no_grad():
            values, gradients = models.values[:active], models.gradients[:active]
            if start is not None:
                gradients.add_(values - start[:active], alpha=proximal_mu)
            if settings.clip_norm is not None:
                clip_norms(gradients, settings.clip_norm)
            update(values, gradients, learning_rates(settings, step, steps[:active]), step + 1)
    results = {
        place: TrainingResult(arrays=models.arrays(row), loss=float(losses[row] / steps[row]), batches=len(plans[row]))
        for row, place in enumerate(order)
    }
    return [results[place] for place in range(len(trainees))]


def _optimizer(values: Tensor, settings: LocalTraining) -> StackedStep:
    if settings.optimizer == "adamw":
        return adamw(values, weight_decay=settings.weight_decay)
    return sgd(values, momentum=settings.momentum, weight_decay=settings.weight_decay)
