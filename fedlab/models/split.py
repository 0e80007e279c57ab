"""A whole model cut in two: the frozen part, computed once a text, and the trained part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.data.tokens import IGNORED_LABEL
from fedlab.models.peft.bottleneck import Cut, Whole
from fedlab.models.peft.whole_blocks import with_trained
from fedlab.models.transformer.bert import Encoder, affine, block_end, block_sum, block_sum_of_first, embed, pool
from fedlab.models.transformer.unpadded import UnpaddedRows

TaskKind = Literal["classification", "tagging"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """An encoder and what is read off it: a label a text ([CLS], perhaps through the pooler) or a label a token.

    Sizes: B texts, T tokens, H hidden, C labels. The frozen state is what a cut model goes on from:

    * adapters of depth 0, which is the head alone: what the head reads;
    * adapters of depth d > 0: the sum before the lowest adapter. A classifier of depth 1 needs [CLS] only;
    * whole blocks, of depth d: the state that enters the lowest of them; for d = 0 what the pooler or the head reads;
      where all blocks are trained the token ids, for the embeddings are trained with them.

    Where it is [CLS] only, it has no T. Whole blocks compute in float32, whatever the precision of the frozen ones.
    """

    encoder: Encoder
    kind: TaskKind
    pooling: Literal["cls", "pooler"]

    @property
    def device(self) -> torch.device:
        """Return where the weights are, and so where training takes place."""
        return self.encoder.words.device

    def state_shape(self, cut: Cut, tokens: int) -> tuple[int, ...]:
        """Return the shape of one text's frozen state: [H], [T, H], or [T] for token ids."""
        if cut == Whole(len(self.encoder.blocks)):
            return (tokens,)
        hidden = self.encoder.shape.hidden
        return (hidden,) if self._only_first_row(cut) else (tokens, hidden)

    @torch.inference_mode()
    def frozen(self, ids: Tensor, lengths: Tensor, cuts: Collection[Cut]) -> dict[Cut, Tensor]:
        """Compute the frozen states of texts for several cuts in one pass: cut to [B, H], [B, T, H] or ids [B, T].

        Takes ids [B, T] and lengths [B]. The pass goes no higher than the highest cut needs.
        """
        encoder, blocks = self.encoder, len(self.encoder.blocks)
        rows = UnpaddedRows.of(lengths, ids.shape[1])
        states = rows.taken(embed(encoder, ids))
        found: dict[Cut, Tensor] = {Whole(blocks): ids}
        for index in range(max(self._blocks_below(cut) for cut in cuts)):
            sums = self._sums(encoder, index, states, rows)
            states = block_end(encoder, index, sums, {})
            found |= {blocks - index: sums, Whole(blocks - index - 1): states}
        if 0 in cuts:
            found[0] = self._features(encoder, states)
        return {
            cut: found[cut] if cut == Whole(blocks) or self._only_first_row(cut) else rows.padded(found[cut])
            for cut in cuts
        }

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], cut: Cut) -> Tensor:
        """Finish the forward pass from a frozen state: [B, C], or [B, T, C] for tagging; those of padding mean nothing.

        With adapters and heads of K models stacked along a first dimension, the B texts are K equal parts, one a model.
        Whole blocks that are not among the parameters are the encoder's own.
        """
        if isinstance(cut, Whole):
            features = self._whole(frozen, lengths, parameters, cut)
        else:
            features = frozen if cut == 0 else self._adapted(frozen, lengths, parameters, cut)
        return affine(features.float(), parameters["head.weight"], parameters["head.bias"])

    def losses(self, logits: Tensor, labels: Tensor, models: int) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED_LABEL)
        counted = (labels != IGNORED_LABEL).view(models, -1).sum(1)
        return each.view(models, -1).sum(1) / counted.clamp(min=1)

    def _adapted(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], depth: int) -> Tensor:
        encoder, head = self.encoder, parameters["head.weight"]
        texts, rows = _laid_out(frozen, lengths, models=len(head) if head.dim() == 3 else 1)
        first = len(encoder.blocks) - depth
        states = block_end(encoder, first, rows.taken(texts).to(encoder.computes_in), parameters)
        return self._read(encoder, first + 1, states, rows, parameters)

    def _whole(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], cut: Whole) -> Tensor:
        encoder = with_trained(self.encoder, parameters)
        texts, rows = _laid_out(frozen if frozen.is_floating_point() else embed(encoder, frozen), lengths, models=1)
        return self._read(encoder, len(encoder.blocks) - cut.depth, rows.taken(texts).float(), rows, {})

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
        return pool(encoder, states) if self.pooling == "pooler" and self.kind == "classification" else states

    def _blocks_below(self, cut: Cut) -> int:
        """Return how many blocks a pass up to a cut runs; at an adapter's, its own block almost to the end."""
        blocks = len(self.encoder.blocks)
        return blocks - cut.depth if isinstance(cut, Whole) else blocks - max(cut, 1) + 1

    def _only_first_row(self, cut: Cut) -> bool:
        """Tell whether what is above a cut reads the first row alone."""
        return self.kind == "classification" and (cut == Whole(0) if isinstance(cut, Whole) else cut <= 1)


def _laid_out(states: Tensor, lengths: Tensor, *, models: int) -> tuple[Tensor, UnpaddedRows]:
    """Return states as texts [B, T, H] with their rows: of [CLS] only, [B, H], a text is one token long."""
    texts = states.reshape(len(lengths), -1, states.shape[-1])
    return texts, UnpaddedRows.of(lengths, texts.shape[1], models=models)
