"""A whole model cut in two: the frozen part, computed once a text, and the trained part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fedlab.models.base import Backbone, Head, Inputs, TokenIds
from fedlab.models.heads.classification import CLASSIFICATION
from fedlab.models.heads.tagging import TAGGING
from fedlab.models.peft.bottleneck import Cut, Whole
from fedlab.models.transformer.unpadded import UnpaddedRows

TaskKind = Literal["classification", "tagging"]
_HEADS: Mapping[TaskKind, Head] = {"classification": CLASSIFICATION, "tagging": TAGGING}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone and its head: a label a text (from [CLS], perhaps through the pooler) or a label a token.

    Sizes: B texts, T tokens, H hidden, C labels. The frozen state is where the trained part of a cut model starts:

    * adapters of depth 0, which is the head alone: what the head reads;
    * adapters of depth d > 0: the sum before the lowest adapter. A classifier of depth 1 needs [CLS] only;
    * whole blocks, of depth d: the state that enters the lowest of them; for d = 0 what the pooler or the head reads;
      where all blocks are trained the inputs themselves (token ids), as the embeddings are trained with them.

    Where it is [CLS] only, it has no T. Whole blocks compute in float32, whatever the precision of the frozen ones.
    """

    encoder: Backbone
    kind: TaskKind
    pooling: Literal["cls", "pooler"]

    @property
    def device(self) -> torch.device:
        """Return where the weights are, and so where training takes place."""
        return self.encoder.device

    @property
    def head(self) -> Head:
        """Return what reads the backbone's last states."""
        return _HEADS[self.kind]

    def inputs_at(self, cut: Cut) -> type[Inputs] | None:
        """Return the kind of inputs that the frozen states of a cut are; None where they are states of the backbone."""
        return self.encoder.inputs if cut == Whole(self.encoder.shape.blocks) else None

    def state_shape(self, cut: Cut, tokens: int) -> tuple[int, ...]:
        """Return the shape of one text's frozen state: [H], [T, H], or [T] for token ids."""
        if self.inputs_at(cut):
            return (tokens,)
        hidden = self.encoder.shape.hidden
        return (hidden,) if self._only_first_row(cut) else (tokens, hidden)

    @torch.inference_mode()
    def frozen(self, texts: TokenIds, cuts: Collection[Cut]) -> dict[Cut, Tensor]:
        """Compute the frozen states of texts for several cuts in one pass: cut to [B, H], [B, T, H] or ids [B, T].

        The pass goes no higher than the highest cut needs.
        """
        encoder, blocks = self.encoder, self.encoder.shape.blocks
        rows = UnpaddedRows.of(texts.lengths, texts.ids.shape[1])
        states = rows.taken(encoder.embed(texts))
        found: dict[Cut, Tensor] = {Whole(blocks): texts.ids}
        for index in range(max(self._blocks_below(cut) for cut in cuts)):
            sums = self._sums(encoder, index, states, rows)
            states = encoder.block_end(index, sums, {})
            found |= {blocks - index: sums, Whole(blocks - index - 1): states}
        if 0 in cuts:
            found[0] = self._features(encoder, states)
        return {
            cut: found[cut] if self.inputs_at(cut) or self._only_first_row(cut) else rows.padded(found[cut])
            for cut in cuts
        }

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], cut: Cut) -> Tensor:
        """Finish the forward pass from frozen states: [B, C], or [B, T, C] for tagging; those of padding mean nothing.

        With adapters and heads of K models stacked along a first dimension, the B texts are K equal parts, one a model.
        Whole blocks that are not among the parameters are the encoder's own.
        """
        if isinstance(cut, Whole):
            features = self._whole(frozen, lengths, parameters, cut)
        else:
            features = frozen if cut == 0 else self._adapted(frozen, lengths, parameters, cut)
        return self.head.logits(features, parameters)

    def losses(self, logits: Tensor, labels: Tensor, models: int) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        return self.head.losses(logits, labels, models)

    def _adapted(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int) -> Tensor:
        encoder, head = self.encoder, parameters["head.weight"]
        texts, rows = _laid_out(frozen, lengths, models=len(head) if head.dim() == 3 else 1)
        first = encoder.shape.blocks - depth
        states = encoder.block_end(first, rows.taken(texts).to(encoder.computes_in), parameters)
        return self._read(encoder, first + 1, states, rows, parameters)

    def _whole(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], cut: Whole) -> Tensor:
        encoder = self.encoder.with_trained(parameters)
        states = encoder.embed(TokenIds(ids=frozen, lengths=lengths)) if self.inputs_at(cut) else frozen
        texts, rows = _laid_out(states, lengths, models=1)
        return self._read(encoder, encoder.shape.blocks - cut.depth, rows.taken(texts).float(), rows, {})

    def _read(
        self, encoder: Backbone, first: int, states: Tensor, rows: UnpaddedRows, adapters: Mapping[str, Tensor]
    ) -> Tensor:
        """Run the blocks from `first` on and return what the head reads: [B, H], or [B, T, H] for tagging."""
        for index in range(first, encoder.shape.blocks):
            states = encoder.block_end(index, self._sums(encoder, index, states, rows), adapters)
        features = self._features(encoder, states)
        return features if self._reads_first else rows.padded(features)

    @property
    def _reads_first(self) -> bool:
        return self.head.reads == "first"

    def _sums(self, encoder: Backbone, index: int, states: Tensor, rows: UnpaddedRows) -> Tensor:
        """Run a block up to its last norm; a classifier's last block gives the first row alone, [B, H]."""
        if self._reads_first and index == encoder.shape.blocks - 1:
            return encoder.block_sum_of_first(index, states, rows)
        return encoder.block_sum(index, states, rows)

    def _features(self, encoder: Backbone, states: Tensor) -> Tensor:
        return encoder.pool(states) if self.pooling == "pooler" and self._reads_first else states

    def _blocks_below(self, cut: Cut) -> int:
        """Return how many blocks a pass up to a cut runs; at an adapter's, its own block almost to the end."""
        blocks = self.encoder.shape.blocks
        return blocks - cut.depth if isinstance(cut, Whole) else blocks - max(cut, 1) + 1

    def _only_first_row(self, cut: Cut) -> bool:
        """Tell whether what is above a cut reads the first row alone."""
        return self._reads_first and (cut == Whole(0) if isinstance(cut, Whole) else cut <= 1)


def _laid_out(states: Tensor, lengths: Tensor, *, models: int) -> tuple[Tensor, UnpaddedRows]:
    """Return states as texts [B, T, H] with their rows: of [CLS] only, [B, H], a text is one token long."""
    texts = states.reshape(len(lengths), -1, states.shape[-1])
    return texts, UnpaddedRows.of(lengths, texts.shape[1], models=models)
