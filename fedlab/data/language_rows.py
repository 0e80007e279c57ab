"""Texts for language models as rows of tokens, where the label of a token is the one that follows it.

A label is -100 where what follows does not count in the loss. Thus a model's loss at a token is that of its guess of
the next one, and nothing needs to be shifted later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from fedlab.data.templates import Piece
from fedlab.data.tokens import IGNORED_LABEL, TokenRow

_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A prompt with its responses as tokens; `counts` tells which belong to a response, `start` whether one begins it.

    `start` is the number of tokens at the beginning that no text has: 1 for a tokenizer that marks the beginning.
    """

    ids: list[int]
    counts: list[bool]
    start: int

    @property
    def first(self) -> int:
        """Return the place of the first token that counts."""
        return self.counts.index(True)

    @property
    def last_prompt(self) -> list[int]:
        """Return the tokens before the last response."""
        place = len(self.counts) - self.counts[::-1].index(True)
        while place and self.counts[place - 1]:
            place -= 1
        return self.ids[:place]


def text_rows(texts: Sequence[str], tokenizer: Any, max_length: int) -> Iterator[TokenRow]:
    """Yield a row for each text, its end cut off where it is longer than `max_length`."""
    for ids in whole_texts(texts, tokenizer):
        yield _row(ids[:max_length], [True] * len(ids), len(ids))


def blocks(ids: Sequence[Sequence[int]], max_length: int) -> Iterator[TokenRow]:
    """Yield joined texts as blocks of `max_length` tokens, the last one perhaps shorter.

    A block begins with the last token of the one before, so that every token but the first follows another in a block.
    """
    stream = [token for each in ids for token in each]
    for start in range(0, max(1, len(stream) - 1), max_length - 1):
        block = stream[start : start + max_length]
        yield _row(block, [True] * len(block), len(block))


def whole_texts(texts: Sequence[str], tokenizer: Any) -> Iterator[list[int]]:
    """Yield the tokens of each text, with those that mark its beginning and its end if the tokenizer has them."""
    end = tokenizer.eos_token_id
    for start in range(0, len(texts), _BATCH):
        for ids in tokenizer(list(texts[start : start + _BATCH]))["input_ids"]:
            yield ids if end is None or ids[-1:] == [end] else [*ids, end]


def answered(examples: Sequence[Sequence[Piece]], tokenizer: Any, *, starts: bool) -> list[Answered]:
    """Return prompts and responses as tokens; where `starts`, the tokenizer marks the beginning if it does so at all.

    A text is tokenised as a whole, unless a token would join a prompt and its response.
    """
    mark = _mark_of_beginning(tokenizer) if starts else []
    found = []
    for start in range(0, len(examples), _BATCH):
        batch = examples[start : start + _BATCH]
        texts = ["".join(piece.text for piece in pieces) for pieces in batch]
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        for pieces, ids, offsets in zip(batch, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            whole, counts = _told_apart(pieces, ids, offsets) or _piecewise(pieces, tokenizer)
            found.append(Answered(ids=[*mark, *whole], counts=[False] * len(mark) + counts, start=len(mark)))
    return found


def answered_row(each: Answered, max_length: int) -> TokenRow:
    """Return a prompt with its responses as a row; where it is too long, the beginning of the prompt is cut off.

    If the responses alone are too long, their end is cut off as well. A token of the prompt is always left.
    """
    ids, counts = shortened_prompt(each, max_length)
    return _row(ids[:max_length], counts, len(each.ids))


def shortened_prompt(each: Answered, max_length: int) -> tuple[list[int], list[bool]]:
    """Cut off as much of the beginning of a prompt as is too long; the mark of the beginning stays."""
    excess = max(0, min(len(each.ids) - max_length, each.first - each.start - 1))
    kept = [*range(each.start), *range(each.start + excess, len(each.ids))]
    return [each.ids[place] for place in kept], [each.counts[place] for place in kept]


def _row(ids: list[int], counts: Sequence[bool], whole_length: int) -> TokenRow:
    following = [token if counted else IGNORED_LABEL for token, counted in zip(ids[1:], counts[1:], strict=False)]
    return TokenRow(input_ids=ids, whole_length=whole_length, label=[*following, IGNORED_LABEL])


def _mark_of_beginning(tokenizer: Any) -> list[int]:
    first: list[int] = tokenizer("")["input_ids"][:1]
    return first if first == [tokenizer.bos_token_id] else []


def _told_apart(
    pieces: Sequence[Piece], ids: list[int], offsets: Sequence[tuple[int, int]]
) -> tuple[list[int], list[bool]] | None:
    """Return which tokens count, by where they begin in the text; None if one belongs to two pieces."""
    ends = list(accumulate(len(piece.text) for piece in pieces))
    if any(begin < end < stop for begin, stop in offsets for end in ends[:-1]):
        return None
    counts = []
    place = 0
    for begin, _ in offsets:
        while place < len(ends) - 1 and begin >= ends[place]:
            place += 1
        counts.append(pieces[place].counts)
    bounds = list(pairwise([0, *ends]))
    filled = all(any(low <= begin < high for begin, _ in offsets) for low, high in bounds if high > low)
    return (ids, counts) if filled else None


def _piecewise(pieces: Sequence[Piece], tokenizer: Any) -> tuple[list[int], list[bool]]:
    parts = [tokenizer(piece.text, add_special_tokens=False)["input_ids"] for piece in pieces]
    counts = [piece.counts for piece, part in zip(pieces, parts, strict=True) for _ in part]
    return [token for part in parts for token in part], counts
