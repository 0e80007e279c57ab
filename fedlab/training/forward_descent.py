"""Local training by forward passes: a step of plain descent for each batch, along the directions of some seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedlab.gradients.sums import Probed, weighted_sum
from fedlab.training.local import LocalTraining, TrainingExamples, learning_rates
from fedlab.training.probes import Batches, Probe, Probing


@dataclass(frozen=True, kw_only=True)
class Way:
    """Local steps: the model [P] where they lead, and the mean loss on the way.

    `gone` says how far each step went along the direction of each of its seeds, in the order of steps and seeds.
    """

    values: np.ndarray
    gone: Sequence[float]
    loss: float


def descend(
    probing: Probing,
    start: np.ndarray,
    examples: TrainingExamples,
    batches: Sequence[np.ndarray],
    seeds: Sequence[Sequence[int]],
    settings: LocalTraining,
) -> Way:
    """Step from a model [P], on one batch of rows after the other, by the mean of derivative x direction.

    The learning rate and its schedule are those of local training; momentum and clipping are not used.
    """
    values, losses, gone = start, [], []
    steps = torch.tensor([len(batches)])
    for step, (rows, drawn) in enumerate(zip(batches, seeds, strict=True)):
        batch = Batches.of(probing.network, [examples], [rows])
        derivatives, at = probing.derivatives([values], batch, [Probe(client=0, seed=seed) for seed in drawn])
        measured = [Probed(seed=seed, derivative=float(each)) for seed, each in zip(drawn, derivatives, strict=True)]
        gradient = weighted_sum(measured, len(values), probing.distribution) / len(drawn)
        rate = float(learning_rates(settings, step, steps))
        values = (values - rate * gradient).astype(np.float32)
        losses.append(float(at.mean()))
        gone += [-rate * each.derivative / len(drawn) for each in measured]
    return Way(values=values, gone=gone, loss=float(np.mean(losses)))
