"""A whole model split in two: the frozen part, computed once a text, and the trained part."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fedlab.config.task_table import TaskKind
from fedlab.models.base import BlockChain, Head, Inputs, TokenIds
from fedlab.models.heads.classification import CLASSIFICATION
from fedlab.models.heads.next_token import NextTokenHead, scored_places
from fedlab.models.heads.tagging import TAGGING
from fedlab.models.peft.base import ModelSizes, SplitPoint
from fedlab.models.transformer.decoder import Decoder
from fedlab.models.transformer.low_rank import NO_PAIRS, LowRank
from fedlab.models.transformer.unpadded import UnpaddedRows

_HEADS: Mapping[TaskKind, Head] = {"classification": CLASSIFICATION, "tagging": TAGGING}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A backbone and its head: a label a text or a label a token.

    A text is read off the row that stands for it: [CLS], perhaps through the pooler, or a decoder's last real token.

    Sizes: B texts, T tokens, H hidden, C labels. The frozen state is where the trained part of a split model starts, by
    the kind of its split point (`fedlab.models.peft.base.SplitPoint`):

    * `features`: what the head reads;
    * `adapter`: the sum before the adapter. A classifier whose only adapter is in the last block needs a text's row
      only;
    * `partial_block` and `block_input`: the state that enters the block; above the last block, what the pooler or the
      head reads;
    * `inputs`: the inputs themselves (token ids), as the embeddings are trained too.

    A state of a text's row only has no T. Whole blocks compute in float32, whatever the precision of the frozen ones.
    """

    encoder: BlockChain
    kind: TaskKind
    pooling: Literal["cls", "pooler"]

    @property
    def device(self) -> torch.device:
        """Return where the weights are, and so where training takes place."""
        return self.encoder.device

    @property
    def head(self) -> Head:
        """Return what reads the backbone's last states: for language, the backbone's own head over the vocabulary."""
        found = _HEADS.get(self.kind)
        return self.vocabulary_head if found is None else found

    @property
    def says_tokens(self) -> bool:
        """Tell whether the head is the backbone's own over the vocabulary, which is not trained."""
        return self.kind not in _HEADS

    @property
    def statistics(self) -> frozenset[str]:
        """Return nothing: all trained arrays have gradients."""
        return frozenset()

    def drawing(self, seed: int) -> "Network":
        """Return the same network, in which nothing is drawn: there is no dropout."""
        return self

    @property
    def decoder(self) -> Decoder:
        """Return the backbone of a language task, which is a decoder."""
        assert isinstance(self.encoder, Decoder), "a language task is refused for another backbone"
        return self.encoder

    @property
    def vocabulary_head(self) -> NextTokenHead:
        """Return the backbone's own head over the vocabulary."""
        weight = self.decoder.lm_head_weight
        assert weight is not None, "a language task is refused for a backbone without this head"
        return NextTokenHead(weight=weight)

    def sizes(self, labels: int) -> ModelSizes:
        """Return what the shapes of trained arrays depend on, with a head for a number of labels, if it is trained."""
        trained = 0 if self.says_tokens else labels
        return ModelSizes.of_task(self.encoder.sizes, kind=self.kind, pooling=self.pooling, labels=trained)

    def inputs_at(self, at: SplitPoint) -> type[Inputs] | None:
        """Return the kind of inputs that the frozen states are; None where they are states of the backbone."""
        return self.encoder.inputs if at.kind == "inputs" else None

    def state_shape(self, at: SplitPoint, tokens: int) -> tuple[int, ...]:
        """Return the shape of one text's frozen state: [H], [T, H], or [T] for token ids."""
        if at.kind == "inputs":
            return (tokens,)
        hidden = self.encoder.shape.hidden
        return (hidden,) if self._only_text_row(at) else (tokens, hidden)

    @torch.inference_mode()
    def frozen(self, texts: TokenIds, at: Collection[SplitPoint]) -> dict[SplitPoint, Tensor]:
        """Compute the frozen states of texts at several split points in one pass: [B, H], [B, T, H] or ids [B, T].

        The pass goes no higher than the highest point needs.
        """
        encoder = self.encoder
        rows = UnpaddedRows.of(texts.lengths, texts.ids.shape[1])
        states = rows.taken(encoder.embed(texts))
        sums: dict[int, Tensor] = {}
        entering = {0: states}
        for index in range(max(_blocks_below(point) for point in at)):
            sums[index] = self._sums(encoder, index, states, rows)
            entering[index + 1] = states = encoder.block_end(index, sums[index], {})

        def state(point: SplitPoint) -> Tensor:
            if point.kind == "inputs":
                return texts.ids
            if point.kind == "features":
                found = self._features(encoder, states)
            else:
                found = (sums if point.kind == "adapter" else entering)[point.block]
            return found if self._only_text_row(point) else rows.padded(found)

        return {point: state(point) for point in at}

    def logits(self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint) -> Tensor:
        """Finish the forward pass from frozen states: [B, C], or [B, T, C] if the head reads every row.

        The logits of padding mean nothing. See `features`.
        """
        return self.head.logits(self.features(frozen, lengths, parameters, at), parameters)

    def loss(
        self,
        frozen: Tensor,
        lengths: Tensor,
        labels: Tensor,
        parameters: Mapping[str, Tensor],
        at: SplitPoint,
        models: int,
    ) -> Tensor:
        """Return each model's mean cross-entropy over its part of the texts or tokens whose label is not -100: [K]."""
        if self.says_tokens:
            features, labels = self.scored_features(frozen, lengths, labels, parameters, at)
        else:
            features = self.features(frozen, lengths, parameters, at)
        return self.head.loss(features, labels, parameters, models)

    def scored_features(
        self, frozen: Tensor, lengths: Tensor, labels: Tensor, parameters: Mapping[str, Tensor], at: SplitPoint
    ) -> tuple[Tensor, Tensor]:
        """Return features and labels [B, S] of a language task, [B, S, H], with all tokens whose label is not -100.

        Where these are less than half of the T tokens of the labels [B, T], the last block runs for them alone, for its
        output at the others is not read.
        """
        places = scored_places(labels)
        if 2 * places.shape[1] > labels.shape[1]:
            return self.features(frozen, lengths, parameters, at), labels
        return self.features(frozen, lengths, parameters, at, places), labels.gather(1, places)

    def features(
        self,
        frozen: Tensor,
        lengths: Tensor,
        parameters: Mapping[str, Tensor],
        at: SplitPoint,
        places: Tensor | None = None,
    ) -> Tensor:
        """Return what the head reads, from frozen states: [B, H], or [B, T, H] if it reads every row.

        Of a decoder whose head reads every row, only the rows at `places` [B, S] of T are returned, [B, S, H].

        With adapters and heads of K models stacked along a first dimension, the B texts are K equal parts, one a model.
        Weights of whole blocks that are not among the parameters are the encoder's own.
        """
        if at.kind == "features":
            return frozen if places is None else _taken(frozen, places)
        if at.kind == "adapter":
            return self._adapted(frozen, lengths, parameters, at.block, places)
        return self._from_block(frozen, lengths, parameters, at, places)

    def _adapted(
        self, frozen: Tensor, lengths: Tensor, parameters: Mapping[str, Tensor], first: int, places: Tensor | None
    ) -> Tensor:
        encoder = self.encoder
        texts, rows = _laid_out(frozen, lengths, models=_models(parameters))
        states = encoder.block_end(first, rows.taken(texts).to(encoder.computes_in), parameters)
        return self._read(encoder, first + 1, states, rows, LowRank(arrays=parameters), places)

    def _from_block(
        self,
        frozen: Tensor,
        lengths: Tensor,
        parameters: Mapping[str, Tensor],
        at: SplitPoint,
        places: Tensor | None,
    ) -> Tensor:
        encoder = self.encoder.with_trained(parameters)
        states = encoder.embed(TokenIds(ids=frozen, lengths=lengths)) if at.kind == "inputs" else frozen
        whole = at.kind != "partial_block"
        texts, rows = _laid_out(states, lengths, models=1 if whole else _models(parameters))
        entering = rows.taken(texts).to(torch.float32 if whole else encoder.computes_in)
        return self._read(encoder, at.block, entering, rows, LowRank(arrays=parameters, scale=at.scale), places)

    def _read(
        self,
        encoder: BlockChain,
        first: int,
        states: Tensor,
        rows: UnpaddedRows,
        trained: LowRank,
        places: Tensor | None,
    ) -> Tensor:
        """Run the blocks from `first` on and return what the head reads: [B, H], [B, T, H], or [B, S, H] of places."""
        last = encoder.shape.blocks - 1
        for index in range(first, last + (places is None)):
            states = encoder.block_end(index, self._sums(encoder, index, states, rows, trained), trained.arrays)
        if places is None:
            features = self._features(encoder, states)
            return features if self._reads_text else rows.padded(features)
        if first > last:
            return _taken(rows.padded(states), places)
        assert isinstance(encoder, Decoder), "only language is scored at some of its tokens"
        sums = encoder.block_sum_at(last, states, rows, places, trained)
        return encoder.block_end(last, sums, trained.arrays).view(*places.shape, -1)

    @property
    def _reads_text(self) -> bool:
        return self.head.reads == "text"

    def _sums(
        self, encoder: BlockChain, index: int, states: Tensor, rows: UnpaddedRows, pairs: LowRank = NO_PAIRS
    ) -> Tensor:
        """Run a block up to its last norm; a classifier's last block gives a text's row alone, [B, H]."""
        if self._reads_text and index == encoder.shape.blocks - 1:
            return encoder.block_sum_of_text(index, states, rows, pairs)
        return encoder.block_sum(index, states, rows, pairs)

    def _features(self, encoder: BlockChain, states: Tensor) -> Tensor:
        return encoder.pool(states) if self._reads_pooler else states

    @property
    def _reads_pooler(self) -> bool:
        return self.pooling == "pooler" and self._reads_text

    def _only_text_row(self, at: SplitPoint) -> bool:
        """Tell whether what is above a split point reads a text's row alone."""
        blocks = self.encoder.shape.blocks
        return self._reads_text and at.block >= (blocks - 1 if at.kind == "adapter" else blocks)


def _blocks_below(at: SplitPoint) -> int:
    """Return how many blocks a pass up to a split point runs; up to an adapter, its own block almost to the end."""
    return at.block + 1 if at.kind == "adapter" else at.block


def _taken(texts: Tensor, places: Tensor) -> Tensor:
    """Return the rows [B, S, H] at `places` [B, S] of texts [B, T, H]."""
    return texts[torch.arange(len(texts), device=texts.device)[:, None], places]


def _models(parameters: Mapping[str, Tensor]) -> int:
    """Return how many models the parameters are stacked of; those of one model are not stacked."""
    # Language tasks train no head, so that any array must do.
    name = "head.weight" if "head.weight" in parameters else next(iter(parameters))
    alone = 2 if name.endswith(("weight", ".a", ".b")) else 1
    return len(parameters[name]) if parameters[name].dim() > alone else 1


def _laid_out(states: Tensor, lengths: Tensor, *, models: int) -> tuple[Tensor, UnpaddedRows]:
    """Return states as texts [B, T, H] with their rows: of a text's row only, [B, H], a text is one token long."""
    texts = states.reshape(len(lengths), -1, states.shape[-1])
    return texts, UnpaddedRows.of(lengths, texts.shape[1], models=models)
