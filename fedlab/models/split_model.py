"""What clients train and measure: a whole model that is split in two, whatever its backbone computes."""

from collections.abc import Collection, Mapping
from typing import Protocol, Self

import torch
from torch import Tensor

from fedlab.config.task_table import TaskKind
from fedlab.models.base import Backbone, Inputs
from fedlab.models.peft.base import ModelSizes, SplitPoint


class SplitModel(Protocol):
    """A frozen part, computed once an example, and a trained part that runs in every pass.

    `fedlab.models.split.Network` is one of a transformer, `fedlab.models.cnn.network.ConvNetwork` one for images.
    """

    @property
    def encoder(self) -> Backbone:
        """Return its backbone."""

    @property
    def kind(self) -> TaskKind:
        """Return the kind of its task."""

    @property
    def device(self) -> torch.device:
        """Return where training takes place."""

    @property
    def says_tokens(self) -> bool:
        """Tell whether the head is the backbone's own over the vocabulary, which is not trained."""

    @property
    def statistics(self) -> Collection[str]:
        """Return the names of arrays that a loss moves in place and that have no gradients."""

    def sizes(self, labels: int) -> ModelSizes:
        """Return what the shapes of trained arrays depend on."""

    def inputs_at(self, at: SplitPoint) -> type[Inputs] | None:
        """Return the kind of inputs that the frozen states are; None where they are states of the backbone."""

    def state_shape(self, at: SplitPoint, tokens: int) -> tuple[int, ...]:
        """Return the shape of one example's frozen state."""

    def drawing(self, seed: int) -> Self:
        """Return the same model, which draws what it drops out in training by a seed."""

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint) -> Tensor:
        """Finish the forward pass of a trained model from frozen states."""

    def loss(
        self,
        frozen: Tensor,
        lengths: Tensor,
        labels: Tensor,
        parameters: Mapping[str, Tensor],
        at: SplitPoint,
        models: int,
    ) -> Tensor:
        """Return the mean loss in training of each of the K models, whose examples are K equal parts: [K]."""
