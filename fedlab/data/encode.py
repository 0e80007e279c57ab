"""The splits of a task as tokens: of labelled texts, of plain text, and of prompts with their responses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fedlab.config.schema import TaskTable
from fedlab.config.task_table import CHAT
from fedlab.data.conversations import ASSISTANT, USER, Conversation
from fedlab.data.examples import Examples
from fedlab.data.label_words import LabelWords, scored_rows, words_after
from fedlab.data.labels import label_ids
from fedlab.data.language import Language
from fedlab.data.language_rows import Answered, answered, answered_row, blocks, text_rows, whole_texts
from fedlab.data.pixel_scaling import ImageTerms
from fedlab.data.task import SampleSet
from fedlab.data.templates import Piece, render
from fedlab.data.tokens import TokenRow, TokenSet, store_rows, tokenize

_SCORED = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How many tokens the texts of a split have before they are cut, and how many of the texts are."""

    whole: np.ndarray  # [N]
    cut: int


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The splits as tokens or images, the rows of the training split that each client has, and the texts' lengths."""

    tokens: Mapping[str, SampleSet]
    parts: Sequence[np.ndarray]
    lengths: Mapping[str, Lengths]  # of texts
    language: Language | None = None
    images: ImageTerms | None = None


@dataclass(frozen=True, kw_only=True)
class SplitEncoder:
    """Encodes the splits of a task; token sets are cached in `cache_folder`."""

    table: TaskTable
    names: Sequence[str]
    tokenizer: Any
    cache_folder: Path

    def encoded(self, splits: Mapping[str, Examples], parts: Sequence[np.ndarray]) -> Encoded:
        """Return the splits as tokens; `parts` are the training examples of each client.

        Raises:
            UserError: the tokenizer or the template cannot be used, or a label is not in the set.
        """
        if self.table.kind == "prompt":
            return self._prompts(splits, parts)
        if self.table.kind == "next-token":
            return self._packed(splits, parts) if self.table.pack else self._texts(splits, parts)
        tokens = {split: self._labelled(part, split) for split, part in splits.items()}
        return self._whole(tokens, parts, {split: each.whole_lengths for split, each in tokens.items()})

    def _labelled(self, part: Examples, split: str) -> TokenSet:
        return tokenize(
            cast("list[str]", part.texts),
            label_ids(part, self.names, split),
            tokenizer=self.tokenizer,
            max_length=self.table.max_length,
            kind=cast("Any", self.table.kind),
            cache_folder=self.cache_folder,
        )

    def _texts(self, splits: Mapping[str, Examples], parts: Sequence[np.ndarray]) -> Encoded:
        length = self.table.max_length
        tokens = {
            split: self._stored(text_rows(_texts_of(part), self.tokenizer, length), part.texts, "text")
            for split, part in splits.items()
        }
        lengths = {split: each.whole_lengths for split, each in tokens.items()}
        return self._whole(tokens, parts, lengths, self._language())

    def _packed(self, splits: Mapping[str, Examples], parts: Sequence[np.ndarray]) -> Encoded:
        """Join the texts of each client, and those of each other split, so that no block has two clients' texts."""
        ids = {split: list(whole_texts(_texts_of(part), self.tokenizer)) for split, part in splits.items()}
        rows = [list(blocks([ids["train"][i] for i in part], self.table.max_length)) for part in parts]
        ends = np.cumsum([len(each) for each in rows])
        groups = [part.tolist() for part in parts]
        tokens = {
            split: self._stored(blocks(ids[split], self.table.max_length), part.texts, "blocks")
            for split, part in splits.items()
            if split != "train"
        }
        train = self._stored((row for each in rows for row in each), splits["train"].texts, "blocks", groups)
        return Encoded(
            tokens={"train": train, **tokens},
            parts=[np.arange(end - len(each), end) for each, end in zip(rows, ends, strict=True)],
            lengths={split: Lengths(whole=np.array([*map(len, texts)]), cut=0) for split, texts in ids.items()},
            language=self._language(),
        )

    def _prompts(self, splits: Mapping[str, Examples], parts: Sequence[np.ndarray]) -> Encoded:
        pieces = {split: self._pieces(part) for split, part in splits.items()}
        each = {split: self._answered(part) for split, part in pieces.items()}
        words = self._words(splits["train"], each["train"]) if self.table.scores_labels else None
        tokens = {
            split: self._stored(self._rows(part, None if split == "train" else words), _plain(pieces[split]), "prompts",
                                None if words is None or split == "train" else [words.words, words.paths])
            for split, part in each.items()
        }  # fmt: skip
        lengths = {split: np.array([len(one.ids) for one in part]) for split, part in each.items()}
        answers = {
            split: np.array(label_ids(splits[split], self.names, split), np.int64)
            for split in _SCORED
            if words is not None and split in splits
        }
        language = self._language(words, answers, turn_end=each["train"][0].ids[-1])
        return self._whole(tokens, parts, lengths, language)

    def _pieces(self, part: Examples) -> list[list[Piece]]:
        conversations = cast("list[Conversation]", part.texts)
        if self.table.scores_labels:  # labels that differ in blanks alone are one word
            labels = cast("list[str]", part.labels)
            conversations = [_answered_by(text, label) for text, label in zip(conversations, labels, strict=True)]
        return [render(conversation, self.table, self.tokenizer) for conversation in conversations]

    def _answered(self, pieces: Sequence[Sequence[Piece]]) -> list[Answered]:
        return answered(pieces, self.tokenizer, starts=self.table.template != CHAT)

    def _words(self, train: Examples, each: Sequence[Answered]) -> LabelWords:
        first = cast("list[Conversation]", train.texts)[0]
        said = [render(_answered_by(first, name), self.table, self.tokenizer) for name in self.names]
        labels = label_ids(train, self.names, "train")
        return words_after(self._answered(said), each, labels, self.names, self.tokenizer)

    def _rows(self, each: Sequence[Answered], words: LabelWords | None) -> Iterator[TokenRow]:
        if words is not None:
            return scored_rows(each, words, self.table.max_length)
        return (answered_row(answer, self.table.max_length) for answer in each)

    def _stored(self, rows: Iterator[TokenRow], texts: object, how: str, more: object = None) -> TokenSet:
        made_from = (texts, more, self.table.max_length, how)
        return store_rows(rows, made_from, tokenizer=self.tokenizer, cache_folder=self.cache_folder)

    def _whole(
        self,
        tokens: Mapping[str, TokenSet],
        parts: Sequence[np.ndarray],
        lengths: Mapping[str, np.ndarray],
        language: Language | None = None,
    ) -> Encoded:
        """Return splits in which each text is a row of its own, or several."""
        found = {
            split: Lengths(whole=each, cut=int((each > self.table.max_length).sum())) for split, each in lengths.items()
        }
        return Encoded(tokens=tokens, parts=parts, lengths=found, language=language)

    def _language(
        self,
        words: LabelWords | None = None,
        answers: Mapping[str, np.ndarray] | None = None,
        turn_end: int | None = None,
    ) -> Language:
        """Say how the task is scored; a chat template may end a turn with another special token than the tokenizer."""
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}
        found = {self.tokenizer.eos_token_id, turn_end if turn_end in special else None} - {None}
        return Language(
            scored_by=self.table.scored_by,
            texts=self.table.generate,
            new_tokens=self.table.new_tokens,
            ends=tuple(sorted(found)),
            words=words,
            answers=answers or {},
        )


def _texts_of(part: Examples) -> list[str]:
    return cast("list[str]", part.texts)


def _answered_by(conversation: Conversation, response: str) -> Conversation:
    return [*(turn for turn in conversation if turn[0] == USER), (ASSISTANT, response)]


def _plain(pieces: Sequence[Sequence[Piece]]) -> list[list[str]]:
    return [[piece.text for piece in each] for each in pieces]
