"""Local training of adapters and head: the inner loop of every adapter client."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fedlab.errors import UserError
from fedlab.models.arrays import Arrays, configuration_of
from fedlab.models.network import Network, arrays_of, parameters_of


@dataclass(frozen=True, kw_only=True)
class LocalTraining:
    """How one client trains in one round.

    The defaults are the paper's: one epoch in batches of 4, SGD with learning rate 0.1 falling linearly to zero over
    the local steps, gradients clipped to norm 1. `max_batches` ends the epochs early.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["linear", "constant"] = "linear"
    clip_norm: float | None = 1.0
    batch_size: int = 4
    epochs: int = 1
    max_batches: int | None = None

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        _one_of("schedule", self.schedule, ("linear", "constant"))
        for key in ("learning_rate", "batch_size", "epochs", "clip_norm", "max_batches"):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, int | float) or value <= 0):
                raise UserError(f"client.options.{key}: {value!r} is not a positive number")


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The texts of one client, as training sees them: frozen states, lengths and labels, one row a text."""

    frozen: Tensor  # [N, H] or [N, T, H]
    lengths: Tensor  # [N]
    labels: Tensor  # [N] or [N, T]


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came of it. `loss` is the mean over the batches."""

    arrays: Arrays
    loss: float
    batches: int


def train(
    network: Network,
    examples: Examples,
    arrays: Mapping[str, np.ndarray],
    settings: LocalTraining,
    generator: np.random.Generator,
    *,
    proximal_mu: float = 0.0,
) -> TrainingResult:
    """Train the arrays on the examples; `proximal_mu` pulls them back to where they started (FedProx)."""
    parameters = parameters_of(arrays)
    start = [tensor.detach().clone() for tensor in parameters.values()] if proximal_mu else []
    depth = configuration_of(arrays).depth
    batches = batch_rows(len(examples.lengths), settings, generator)
    optimizer = _optimizer(list(parameters.values()), settings)
    losses: list[float] = []
    for step, rows in enumerate(batches):
        _set_learning_rate(optimizer, settings, step, len(batches))
        frozen, lengths, labels = take(examples, rows)
        loss = network.loss(network.logits(frozen, lengths, parameters, depth), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        _pull_back(list(parameters.values()), start, proximal_mu)
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    return TrainingResult(arrays=arrays_of(parameters), loss=float(np.mean(losses)), batches=len(batches))


def batch_rows(count: int, settings: LocalTraining, generator: np.random.Generator) -> list[np.ndarray]:
    """Return the rows of every batch: each epoch in a fresh random order, the last batch perhaps short."""
    epochs = (generator.permutation(count) for _ in range(settings.epochs))
    batches = [batch for order in epochs for batch in _chunks(order, settings.batch_size)]
    return batches[: settings.max_batches]


def take(examples: Examples, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Return some examples, cut to the longest of them."""
    index = torch.from_numpy(rows)
    lengths = examples.lengths[index]
    longest = int(lengths.max())
    frozen, labels = examples.frozen[index], examples.labels[index]
    return (
        frozen[:, :longest] if frozen.dim() == 3 else frozen,
        lengths,
        labels[:, :longest] if labels.dim() == 2 else labels,
    )


def _chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _optimizer(parameters: Sequence[Tensor], settings: LocalTraining) -> torch.optim.Optimizer:
    decay = settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=settings.learning_rate, momentum=settings.momentum, weight_decay=decay, fused=True
    )


def _set_learning_rate(optimizer: torch.optim.Optimizer, settings: LocalTraining, step: int, steps: int) -> None:
    if settings.schedule == "linear":
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (1 - step / steps)


def _pull_back(parameters: Sequence[Tensor], start: Sequence[Tensor], mu: float) -> None:
    for tensor, origin in zip(parameters, start, strict=False):
        assert tensor.grad is not None
        tensor.grad.add_(tensor.detach() - origin, alpha=mu)


def _one_of(key: str, value: object, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise UserError(f"client.options.{key}: '{value}' is unknown; accepted: {', '.join(accepted)}")
