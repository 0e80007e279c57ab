"""Float arithmetic of the layers of a network, in torch: in training, or with the statistics that training left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.models.cnn.layers import (
    AveragePool,
    BatchNorm,
    Branches,
    Conv,
    DropoutLayer,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Relu,
    Residual,
)
from fedlab.models.cnn.sizes import MEAN, VARIANCE

Product = Callable[[Conv | Linear, Tensor, str], Tensor]  # of a layer, the states that enter it, and its place
_MOMENTUM, _EPSILON = 0.1, 1e-5  # of batch norms, as in torch


@dataclass(frozen=True, kw_only=True)
class LayerPass:
    """A pass through layers with the arrays of a network by name.

    In training, batch norms normalise by the batch and move their means and variances in place towards the batch's, and
    `draws` says what is dropped out; without draws nothing is. Otherwise they normalise by what training left. A
    `product` computes convolutions and linear layers in the place of float ones.
    """

    arrays: Mapping[str, Tensor]
    training: bool
    draws: torch.Generator | None = None
    product: Product | None = None

    def through(self, layers: Sequence[Layer], states: Tensor, before: str = "") -> Tensor:
        """Return what the layers make of states [B, ...]; `before` begins the names of their arrays."""
        for index, layer in enumerate(layers):
            states = self._behind(layer, states, f"{before}{index}")
        return states

    def _behind(self, layer: Layer, states: Tensor, place: str) -> Tensor:
        match layer:
            case Conv() | Linear():
                return (self.product or self._float_product)(layer, states, place)
            case BatchNorm():
                return self._normalised(states, place)
            case Residual() | Branches():
                return self._by_ways(layer, states, place)
        return self._without_arrays(layer, states)

    def _float_product(self, layer: Conv | Linear, states: Tensor, place: str) -> Tensor:
        weight = self.arrays[f"{place}.weight"]
        if isinstance(layer, Linear):
            return F.linear(states, weight)
        return F.conv2d(states, weight, stride=layer.stride, padding=layer.padding)

    def _by_ways(self, layer: Residual | Branches, states: Tensor, place: str) -> Tensor:
        if isinstance(layer, Residual):
            body = self.through(layer.body, states, f"{place}.body.")
            return body + self.through(layer.shortcut, states, f"{place}.shortcut.")
        ways = enumerate(layer.ways)
        return torch.cat([self.through(way, states, f"{place}.ways.{number}.") for number, way in ways], dim=1)

    def _without_arrays(self, layer: Relu | MaxPool | AveragePool | Flatten | DropoutLayer, states: Tensor) -> Tensor:
        match layer:
            case Relu():
                return F.relu(states)
            case MaxPool():
                return F.max_pool2d(states, layer.kernel, layer.stride, layer.padding)
            case AveragePool():
                kernel = layer.kernel or (states.shape[-2], states.shape[-1])
                return F.avg_pool2d(states, kernel, layer.stride, layer.padding)
            case DropoutLayer():
                return self._dropped(states, layer.probability)
        return states.flatten(1)

    def _normalised(self, states: Tensor, place: str) -> Tensor:
        return F.batch_norm(
            states,
            self.arrays[f"{place}.{MEAN}"],
            self.arrays[f"{place}.{VARIANCE}"],
            self.arrays[f"{place}.weight"],
            self.arrays[f"{place}.bias"],
            training=self.training,
            momentum=_MOMENTUM,
            eps=_EPSILON,
        )

    def _dropped(self, states: Tensor, probability: float) -> Tensor:
        if not self.training or self.draws is None:
            return states
        kept = torch.rand(states.shape, generator=self.draws) >= probability  # on the CPU: alike on any device
        return states * kept.to(states.device) / (1 - probability)
