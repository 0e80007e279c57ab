"""A convolutional network as clients train and measure it: a split model whose every weight is trained."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.config.task_table import TaskKind
from fedlab.data.pixel_scaling import PixelScaling
from fedlab.models.base import Images, Inputs
from fedlab.models.cnn.compute import LayerPass
from fedlab.models.cnn.sizes import ConvSizes
from fedlab.models.peft.base import ModelSizes, SplitPoint
from fedlab.models.quantised.base import Weight
from fedlab.workload.conv_shape import ConvShape
from fedlab.workload.passes import Precision


@dataclass(frozen=True, kw_only=True)
class ConvBackbone:
    """The layers of a network and where they are computed; it has no weights of its own, as all are trained."""

    sizes: ConvSizes
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    computes_in: torch.dtype = torch.float32
    precision: Precision = "fp32"
    inputs: type[Inputs] = Images

    @property
    def shape(self) -> ConvShape:
        """Return the sizes that costs depend on."""
        return self.sizes.shape

    def named_weights(self) -> Mapping[str, Weight]:
        """Return nothing."""
        return {}

    def tensors(self) -> Mapping[str, Weight]:
        """Return nothing."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return its name and the shapes it was made for."""
        return {"name": self.sizes.name, "input_shape": self.sizes.input_shape, "labels": self.sizes.labels}


@dataclass(frozen=True, kw_only=True)
class ConvNetwork:
    """A network for images and the scaling of their pixels (`fedlab.models.base.SplitModel`).

    Its frozen state is the images themselves, uint8 [B, C, H, W]. In training, batch norms normalise by the batch, and
    the means and variances among the parameters move in place; to measure a model these are used. `draws` are those of
    dropout, which is left out without them.
    """

    encoder: ConvBackbone
    scaling: PixelScaling
    kind: TaskKind = "image"
    draws: torch.Generator | None = None

    @property
    def device(self) -> torch.device:
        """Return where training takes place."""
        return self.encoder.device

    @property
    def says_tokens(self) -> bool:
        """Tell that it says none."""
        return False

    @property
    def statistics(self) -> Collection[str]:
        """Return the names of the arrays that training measures: means and variances of batch norms."""
        return self.encoder.sizes.statistics

    def sizes(self, labels: int) -> ModelSizes:
        """Return what the shapes of trained arrays depend on."""
        assert labels == self.encoder.sizes.labels, "it was made for the labels of its task"
        return ModelSizes(encoder=self.encoder.sizes, labels=labels)

    def inputs_at(self, at: SplitPoint) -> type[Inputs] | None:
        """Return images, of which all passes start."""
        return Images

    def state_shape(self, at: SplitPoint, tokens: int) -> tuple[int, ...]:
        """Return the shape of an image."""
        return self.encoder.sizes.input_shape

    def drawing(self, seed: int) -> "ConvNetwork":
        """Return the same network, which drops values out as a seed says."""
        return replace(self, draws=torch.Generator().manual_seed(seed))

    def scaled(self, pixels: Tensor) -> Tensor:
        """Return pixels, uint8 [B, C, H, W], as float32 from 0 to 1, less the mean and over the deviation."""
        mean, std = (
            torch.tensor(each, dtype=torch.float32, device=pixels.device)[:, None, None]
            for each in (self.scaling.mean, self.scaling.std)
        )
        return (pixels.to(torch.float32) / 255 - mean) / std

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint) -> Tensor:
        """Return the logits [B, C] of images, by the statistics that training left."""
        return self._through(frozen, parameters, training=False)

    def loss(
        self,
        frozen: Tensor,
        lengths: Tensor,
        labels: Tensor,
        parameters: Mapping[str, Tensor],
        at: SplitPoint,
        models: int,
    ) -> Tensor:
        """Return each model's mean cross-entropy over its equal part of the images, in training: [K].

        Arrays of several models are stacked along a first dimension.
        """
        if models == 1:
            stacked = next(iter(parameters.values())).dim() > len(next(iter(self.encoder.sizes.shapes().values())))
            each = [{name: array[0] for name, array in parameters.items()} if stacked else parameters]
        else:
            each = [{name: array[model] for name, array in parameters.items()} for model in range(models)]
        parts = zip(frozen.chunk(models), labels.chunk(models), each, strict=True)
        return torch.stack([F.cross_entropy(self._through(part, own, training=True), of) for part, of, own in parts])

    def _through(self, pixels: Tensor, parameters: Mapping[str, Tensor], *, training: bool) -> Tensor:
        layers = LayerPass(arrays=parameters, training=training, draws=self.draws)
        return layers.through(self.encoder.sizes.layers, self.scaled(pixels))
