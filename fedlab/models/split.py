"""A whole model split in two: the frozen part, computed once a text, and the trained part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.data.tokens import IGNORED_LABEL
from fedlab.models.peft.base import ModelSizes, SplitPoint
from fedlab.models.sizes import EncoderSizes
from fedlab.models.transformer.bert import Encoder, affine, block_end, block_sum, block_sum_of_first, embed, pool
from fedlab.models.transformer.named_weights import with_trained
from fedlab.models.transformer.unpadded import UnpaddedRows

TaskKind = Literal["classification", "tagging"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """An encoder and what is read off it: a label a text ([CLS], perhaps through the pooler) or a label a token.

    Sizes: B texts, T tokens, H hidden, C labels. The frozen state is what a split model starts from, by the kind of
    its split point (`fedlab.models.peft.base.SplitPoint`):

    * `features`: what the head reads;
    * `adapter`: the sum before the adapter. A classifier whose only adapter is in the last block needs [CLS] only;
    * `block_input`: the state that enters the block; above the last block, what the pooler or the head reads;
    * `inputs`: the token ids, for the embeddings are trained too.

    A state of [CLS] only has no T. Whole blocks compute in float32, whatever the precision of the frozen ones.
    """

    encoder: Encoder
    kind: TaskKind
    pooling: Literal["cls", "pooler"]

    @property
    def device(self) -> torch.device:
        """Return where the weights are, and so where training takes place."""
        return self.encoder.words.device

    def sizes(self, labels: int) -> ModelSizes:
        """Return what the shapes of trained arrays depend on, with a head of so many labels."""
        encoder = self.encoder
        sizes = EncoderSizes(shape=encoder.shape, vocabulary=len(encoder.words), positions=len(encoder.positions))
        return ModelSizes(encoder=sizes, labels=labels, pooler=self._reads_pooler)

    def state_shape(self, at: SplitPoint, tokens: int) -> tuple[int, ...]:
        """Return the shape of one text's frozen state: [H], [T, H], or [T] for token ids."""
        if at.kind == "inputs":
            return (tokens,)
        hidden = self.encoder.shape.hidden
        return (hidden,) if self._only_first_row(at) else (tokens, hidden)

    @torch.inference_mode()
    def frozen(self, ids: Tensor, lengths: Tensor, at: Collection[SplitPoint]) -> dict[SplitPoint, Tensor]:
        """Compute the frozen states of texts at several split points in one pass: [B, H], [B, T, H] or ids [B, T].

        Takes ids [B, T] and lengths [B]. The pass goes no higher than the highest point needs.
        """
        encoder = self.encoder
        rows = UnpaddedRows.of(lengths, ids.shape[1])
        states = rows.taken(embed(encoder, ids))
        found = {SplitPoint(kind="block_input", block=0): states}
        for index in range(max(_blocks_below(point) for point in at)):
            sums = self._sums(encoder, index, states, rows)
            states = block_end(encoder, index, sums, {})
            found[SplitPoint(kind="adapter", block=index)] = sums
            found[SplitPoint(kind="block_input", block=index + 1)] = states
        features = SplitPoint(kind="features", block=len(encoder.blocks))
        if features in at:
            found[features] = self._features(encoder, states)
        padded = {
            point: states if self._only_first_row(point) else rows.padded(states)
            for point, states in found.items()
            if point in at
        }
        return {point: ids if point.kind == "inputs" else padded[point] for point in at}

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint) -> Tensor:
        """Finish the forward pass from a frozen state: [B, C], or [B, T, C] for tagging; those of padding mean nothing.

        With adapters and heads of K models stacked along a first dimension, the B texts are K equal parts, one a model.
        Weights of whole blocks that are not among the parameters are the encoder's own.
        """
        if at.kind == "features":
            features = frozen
        elif at.kind == "adapter":
            features = self._adapted(frozen, lengths, parameters, at.block)
        else:
            features = self._whole(frozen, lengths, parameters, at)
        return affine(features.float(), parameters["head.weight"], parameters["head.bias"])

    def losses(self, logits: Tensor, labels: Tensor, models: int) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED_LABEL)
        counted = (labels != IGNORED_LABEL).view(models, -1).sum(1)
        return each.view(models, -1).sum(1) / counted.clamp(min=1)

    def _adapted(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], first: int) -> Tensor:
        encoder, head = self.encoder, parameters["head.weight"]
        texts, rows = _laid_out(frozen, lengths, models=len(head) if head.dim() == 3 else 1)
        states = block_end(encoder, first, rows.taken(texts).to(encoder.computes_in), parameters)
        return self._read(encoder, first + 1, states, rows, parameters)

    def _whole(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint) -> Tensor:
        encoder = with_trained(self.encoder, parameters)
        states = embed(encoder, frozen) if at.kind == "inputs" else frozen
        texts, rows = _laid_out(states, lengths, models=1)
        return self._read(encoder, at.block, rows.taken(texts).float(), rows, {})

    def _read(
        self, encoder: Encoder, first: int, states: Tensor, rows: UnpaddedRows, adapters: Mapping[str, Tensor]
    ) -> Tensor:
        """Run the blocks from `first` on and return what the head reads: [B, H], or [B, T, H] for tagging."""
        for index in range(first, len(encoder.blocks)):
            states = block_end(encoder, index, self._sums(encoder, index, states, rows), adapters)
        features = self._features(encoder, states)
        return features if self.kind == "classification" else rows.padded(features)

    def _sums(self, encoder: Encoder, index: int, states: Tensor, rows: UnpaddedRows) -> Tensor:
        """Run a block up to its last norm; a classifier's last block gives the first row alone, [B, H]."""
        last = index == len(encoder.blocks) - 1
        run = block_sum_of_first if last and self.kind == "classification" else block_sum
        return run(encoder, index, states, rows)

    def _features(self, encoder: Encoder, states: Tensor) -> Tensor:
        return pool(encoder, states) if self._reads_pooler else states

    @property
    def _reads_pooler(self) -> bool:
        return self.pooling == "pooler" and self.kind == "classification"

    def _only_first_row(self, at: SplitPoint) -> bool:
        """Tell whether what is above a split point reads the first row alone."""
        blocks = len(self.encoder.blocks)
        return self.kind == "classification" and at.block >= (blocks - 1 if at.kind == "adapter" else blocks)


def _blocks_below(at: SplitPoint) -> int:
    """Return how many blocks a pass up to a split point runs; up to an adapter, its own block almost to the end."""
    return at.block + 1 if at.kind == "adapter" else at.block


def _laid_out(states: Tensor, lengths: Tensor, *, models: int) -> tuple[Tensor, UnpaddedRows]:
    """Return states as texts [B, T, H] with their rows: of [CLS] only, [B, H], a text is one token long."""
    texts = states.reshape(len(lengths), -1, states.shape[-1])
    return texts, UnpaddedRows.of(lengths, texts.shape[1], models=models)
