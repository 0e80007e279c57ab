"""What a model is made of: inputs, a backbone that turns them into states, and a head that reads the last of these.

All three are plain values and pure functions of named weights. A family of backbones is one file
(`fedlab.models.families`).

Sizes: B samples, T tokens, R rows of these that are computed (`fedlab.models.transformer.unpadded`), H hidden,
C labels, K models trained side by side.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.common.arrays import Arrays
from fedlab.errors import UserError
from fedlab.models.families import EncoderSizes
from fedlab.models.quantised.base import QuantisedMatrix, Weight
from fedlab.models.transformer.low_rank import NO_PAIRS, LowRank
from fedlab.models.transformer.unpadded import UnpaddedRows
from fedlab.workload.passes import Precision
from fedlab.workload.shape import AnyShape, ModelShape


@dataclass(frozen=True, kw_only=True)
class TokenIds:
    """Texts as token ids, padded on the right."""

    ids: Tensor  # [B, T]
    lengths: Tensor  # [B], tokens that are not padding


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of one size."""

    pixels: Tensor  # [B, channels, height, width]


Inputs = TokenIds | Images
Reads = Literal["text", "every"]  # the row that stands for a text (`TextRow`), or every row
TextRow = Literal["first", "last"]  # of a text's tokens: [CLS] of an encoder, the last real token of a decoder


class Backbone(Protocol):
    """What is below the head of any model, whatever it computes: its sizes, and the weights of its own."""

    @property
    def shape(self) -> AnyShape:
        """Return the sizes that costs depend on."""

    @property
    def inputs(self) -> type[Inputs]:
        """Return the kind of inputs it takes."""

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision in which states are kept; what computes them may have more (`models.precision`)."""

    @property
    def computes_in(self) -> torch.dtype:
        """Return the precision of the weights that states are multiplied with."""

    @property
    def precision(self) -> Precision:
        """Return the precision of the frozen matrices of its blocks."""

    def named_weights(self) -> Mapping[str, Weight]:
        """Return all weights by the names they travel under (`fedlab.models.peft.whole_blocks`)."""

    def tensors(self) -> Mapping[str, Weight]:
        """Return all weights by name; blocks that share weights have them once."""

    def facts(self) -> dict[str, Any]:
        """Return all the rest as plain values, from which the family makes the same backbone again."""


class BlockChain(Backbone, Protocol):
    """A transformer: a chain of blocks as pure functions over frozen weights.

    A block is split where an adapter sits: `block_sum` runs it up to the sum s before its last norm, `block_end` adds
    an adapter of s, if there is one, and normalises (a decoder behind its last block alone). States that are stored
    end at either place.
    """

    @property
    def shape(self) -> ModelShape:
        """Return the sizes that costs depend on."""

    @property
    def sizes(self) -> EncoderSizes:
        """Return the sizes that the shapes of trained arrays depend on."""

    @property
    def text_row(self) -> TextRow:
        """Return which row stands for a text."""

    @property
    def longest(self) -> int:
        """Return the most tokens a text may have."""

    @property
    def has_pooler(self) -> bool:
        """Tell whether `pool` can be called."""

    def embed(self, inputs: TokenIds) -> Tensor:
        """Return the state that enters block 0, [B, T, H]."""

    def block_sum(self, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
        """Run a block up to the sum before its last norm, with pairs beside its matrices: [R, H] to [R, H]."""

    def block_sum_of_text(self, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS) -> Tensor:
        """Run a block up to that sum for the row that stands for each text only: [R, H] to [B, H]."""

    def block_end(self, index: int, sums: Tensor, adapters: Mapping[str, Tensor]) -> Tensor:
        """Finish a block: its adapter, if there is one among these, and its last norm."""

    def pool(self, text_rows: Tensor) -> Tensor:
        """Apply the pretrained pooler to the rows that stand for texts, [B, H]."""

    def with_trained(self, parameters: Mapping[str, Tensor]) -> "BlockChain":
        """Return the backbone with those of its weights replaced that are among the parameters."""


class Head(Protocol):
    """What turns the last states of a backbone into answers and a loss."""

    @property
    def reads(self) -> Reads:
        """Return which rows of a text it reads."""

    def logits(self, features: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return logits for features [B, H], or [B, T, H] if it reads every row."""

    def loss(self, features: Tensor, labels: Tensor, parameters: Mapping[str, Tensor], models: int) -> Tensor:
        """Return the mean loss of each of the K models, whose samples are K equal parts of the features: [K]."""


def weights_of(backbone: Backbone, names: Collection[str]) -> Arrays:
    """Return copies of those of the named arrays that are weights of the backbone, in float32.

    Raises:
        UserError: one of them is a quantised matrix, which is not what was published.
    """
    held = backbone.named_weights()
    return {name: _copied(name, held[name]) for name in names if name in held}


def _copied(name: str, weight: Weight) -> np.ndarray:
    if isinstance(weight, QuantisedMatrix):
        raise UserError(
            f"backbone.precision = '{weight.precision}': the weight '{name}' is quantised and cannot be trained;"
            " accepted: fp32 or bf16"
        )
    return weight.detach().to(torch.float32, copy=True).cpu().numpy()


def affine(states: Tensor, weight: Weight, bias: Tensor | None) -> Tensor:
    """Apply weight [O, I] and bias [O], if there is one, to states [..., I], in the precision of the states.

    A stack of K weights [K, O, I] and biases [K, O] is applied part by part: the states are K equal parts. So is a
    stack of K biases beside one weight. A quantised weight multiplies in its own way, and is never stacked.
    """
    if isinstance(weight, QuantisedMatrix):
        return shifted(weight.product(states), bias)
    weight, bias = weight.to(states.dtype), None if bias is None else bias.to(states.dtype)
    if weight.dim() == 2 and (bias is None or bias.dim() == 1):
        return F.linear(states, weight, bias)
    if weight.dim() == 2:
        return shifted(F.linear(states, weight), bias)
    parts = states.reshape(len(weight), -1, states.shape[-1])
    moved = weight.transpose(1, 2)
    found = torch.bmm(parts, moved) if bias is None else torch.baddbmm(bias[:, None], parts, moved)
    return found.view(*states.shape[:-1], -1)


def shifted(states: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias [O], if there is one, to states [..., O]; of a stack [K, O], to each of K equal parts its own."""
    if bias is None:
        return states
    bias = bias.to(states.dtype)
    if bias.dim() == 1:
        return states + bias
    return (states.reshape(len(bias), -1, states.shape[-1]) + bias[:, None]).view(states.shape)
