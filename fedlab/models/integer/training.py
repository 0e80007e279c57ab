"""Epochs of integer training, and how many examples a network gets right."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fedlab.models.cnn.layers import Layer
from fedlab.models.integer.network import (
    IntegerPass,
    IntegerRules,
    Weights,
    gradients_and_logits,
    logits_of,
    loss_draws,
    quantised_inputs,
    stepped,
    stepped_wide,
)
from fedlab.models.integer.rescaling import Rescaling
from fedlab.models.integer.tensor import IntegerTensor
from fedlab.models.integer.update import MuSchedule, widened

_EVALUATED = 250  # examples at once; their shift is common, so that another number gives slightly other logits


@dataclass(kw_only=True)
class IntegerTraining:
    """The weights of a network in training, and what its steps remember."""

    layers: tuple[Layer, ...]
    rules: IntegerRules
    weights: Weights
    generator: np.random.Generator  # of orders, roundings and dropout, in the order of the steps
    rescaling: Rescaling = field(default_factory=Rescaling)
    parts: int = 1
    wide: dict[str, Tensor] | None = None  # the 16-bit weights, if the rules keep them

    def __post_init__(self) -> None:
        """Start the 16-bit weights."""
        if self.rules.wide_weights and self.wide is None:
            self.wide = {name: widened(weight.mantissa) for name, weight in self.weights.items()}

    def epoch(self, images: Tensor, labels: Tensor, *, mu: int, batch_size: int) -> None:
        """Train once on normalised images [N, C, H, W] and labels [N], in an order that is drawn."""
        for rows in np.array_split(self.generator.permutation(len(labels)), range(batch_size, len(labels), batch_size)):
            self.step(images[rows], labels[rows], mu=mu)

    def step(self, images: Tensor, labels: Tensor, *, mu: int) -> IntegerTensor:
        """Take one step on a batch; return its logits before the step."""
        inputs = quantised_inputs(images, self.rules)
        outputs = len(self.weights[list(self.weights)[-1]].mantissa)
        run = IntegerPass(rules=self.rules, rescaling=self.rescaling, parts=self.parts, dropout=self.generator)
        draws = loss_draws(self.generator, len(labels), outputs)
        gradients, logits = gradients_and_logits(self.layers, self.weights, inputs, labels, draws, run)
        if self.wide is None:
            self.weights = stepped(self.weights, gradients, mu, self.rules)
        else:
            self.wide, self.weights = stepped_wide(self.wide, self.weights, gradients, mu, self.rules)
        self.rescaling.step += 1
        return logits

    def epochs(self, images: Tensor, labels: Tensor, *, schedule: MuSchedule, count: int, batch_size: int) -> None:
        """Train for some epochs, with mu by the schedule."""
        for epoch in range(count):
            self.epoch(images, labels, mu=schedule.at(epoch), batch_size=batch_size)


def predictions(layers: Sequence[Layer], weights: Weights, images: Tensor, rules: IntegerRules) -> Tensor:
    """Return the label of the largest logit of each of the images, int64 [N]."""
    found = [
        logits_of(layers, weights, quantised_inputs(batch, rules), rules).mantissa.argmax(1)
        for batch in torch.split(images, _EVALUATED)
    ]
    return torch.cat(found)


def correct_share(
    layers: Sequence[Layer], weights: Weights, images: Tensor, labels: Tensor, rules: IntegerRules
) -> float:
    """Return the share of images whose label is predicted, from 0 to 1."""
    return float((predictions(layers, weights, images, rules) == labels).double().mean())
