"""Texts as token ids: tokenised once a machine, kept on disk and mapped into the memory of every process."""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedlab.common.cache_folder import publish
from fedlab.errors import UserError

IGNORED_LABEL = -100  # what torch's cross entropy leaves out
_BATCH = 1000
_LAYOUT = 2  # part of the digest: raise it when the files of a token set change
_ARRAYS = ("input_ids", "lengths", "labels", "whole_lengths")
_WORD_ARRAYS = ("tags", "seen")


@dataclass(frozen=True, kw_only=True)
class WordTags:
    """The tags of all words of N sentences, also of those behind `max_length`, which no prediction can find."""

    tags: np.ndarray  # int64 [N, W], -100 on padding
    seen: np.ndarray  # bool [N, W], whether a token of the word is there, whose label then is the tag

    def take(self, rows: np.ndarray) -> "WordTags":
        """Return the sentences at these rows."""
        return WordTags(tags=self.tags[rows], seen=self.seen[rows])


@dataclass(frozen=True, kw_only=True)
class TokenSet:
    """N texts as arrays on disk, T tokens wide, where T is the longest text's length and at most `max_length`."""

    input_ids: np.ndarray  # int32 [N, T], padded on the right, with the tokenizer's padding id if it has one
    lengths: np.ndarray  # int32 [N], tokens that are not padding
    labels: np.ndarray  # int64 [N]; tagging: [N, T], -100 on padding, special tokens and all but a word's first token;
    # language: [N, T], the token that follows each, -100 where that does not count
    whole_lengths: np.ndarray  # int32 [N], tokens before texts were cut
    words: WordTags | None = None  # tagging only
    digest: str  # of what it was made from; equal digests mean equal arrays

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def inputs(self) -> np.ndarray:
        """Return what a model reads."""
        return self.input_ids

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of a text, in tokens, as padded."""
        return self.input_ids.shape[1:]


def tokenize(
    texts: Sequence[str] | Sequence[Sequence[str]],
    labels: Sequence[int] | Sequence[Sequence[int]],
    *,
    tokenizer: Any,
    max_length: int,
    kind: Literal["classification", "tagging"],
    cache_folder: Path,
) -> TokenSet:
    """Return texts (tagging: lists of words, with a label a word) as tokens, from the cache if they are in it.

    Texts longer than `max_length` tokens, special ones included, are cut; `TokenSet.words` keeps the tags of all words.

    Raises:
        UserError: the tokenizer is not a fast one.
    """
    assert len(texts) == len(labels) > 0
    encode = _tagging_rows if kind == "tagging" else _classification_rows
    rows = encode(texts, labels, tokenizer, max_length)
    return store_rows(rows, (texts, labels, max_length, kind), tokenizer=tokenizer, cache_folder=cache_folder)


def store_rows(
    rows: Iterable["TokenRow"], made_from: Sequence[object], *, tokenizer: Any, cache_folder: Path
) -> TokenSet:
    """Return rows as a token set, from the cache if what they and the tokenizer are made from is in it.

    Raises:
        UserError: the tokenizer is not a fast one, or has no padding token.
    """
    texts, labels, *rest = made_from
    key = _digest(_LAYOUT, texts, labels, tokenizer_digest(tokenizer), *rest)
    needs = [f"{name}.npy" for name in _ARRAYS]
    publish(cache_folder / key, lambda folder: _write(folder, _padded(rows, padding_id(tokenizer))), needs=needs)
    return read_tokens(cache_folder, key)


def read_tokens(cache_folder: Path, digest: str) -> TokenSet:
    """Map the token set of this digest into memory; raises `FileNotFoundError` if it is not in the cache."""
    folder = cache_folder / digest
    words = WordTags(**_load(folder, _WORD_ARRAYS)) if (folder / f"{_WORD_ARRAYS[0]}.npy").exists() else None
    return TokenSet(**_load(folder, _ARRAYS), words=words, digest=digest)


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of what a tokenizer does, whatever it was last used for.

    Raises:
        UserError: it is not a fast tokenizer.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(f"tokenizer {type(tokenizer).__name__}: expected a fast one (a PreTrainedTokenizerFast)")
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # A call that cuts or pads leaves its settings behind in these two.
    lasting = {key: value for key, value in state.items() if key not in ("truncation", "padding")}
    return _digest(lasting, tokenizer.pad_token_id, tokenizer.truncation_side)


def padding_id(tokenizer: Any) -> int:
    """Return the id that texts are padded with.

    Lengths say what is padding, so any token will do. Many decoders have no padding token; as usual, the token that
    ends a text then takes its place.
    """
    found = [each for each in (tokenizer.pad_token_id, tokenizer.eos_token_id) if each is not None]
    return int(found[0]) if found else 0


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """One text: its token ids, and its length before it was cut; a label, or one for each token."""

    input_ids: list[int]
    whole_length: int
    label: int | list[int]
    tags: Sequence[int] = ()  # tagging: of all words, and whether a token of the word is among `input_ids`
    seen: Sequence[bool] = ()


def _classification_rows(texts: Any, labels: Any, tokenizer: Any, max_length: int) -> Iterator[TokenRow]:
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer(list(texts[start : start + _BATCH]), truncation=True, max_length=max_length)
        lengths = _whole_lengths(encoded, tokenizer)
        for input_ids, whole, label in zip(encoded["input_ids"], lengths, labels[start : start + _BATCH], strict=True):
            # A tokenizer without special tokens makes nothing of an empty text: one token of padding stands for it.
            yield TokenRow(input_ids=input_ids or [padding_id(tokenizer)], whole_length=whole, label=label)


def _tagging_rows(texts: Any, labels: Any, tokenizer: Any, max_length: int) -> Iterator[TokenRow]:
    tokenizer = _with_spaces(tokenizer)
    for start in range(0, len(texts), _BATCH):
        words = [list(sentence) for sentence in texts[start : start + _BATCH]]
        encoded = tokenizer(words, truncation=True, max_length=max_length, is_split_into_words=True)
        lengths = _whole_lengths(encoded, tokenizer)
        for i, input_ids in enumerate(encoded["input_ids"]):
            tags, word_ids = labels[start + i], encoded.word_ids(i)
            shown = set(word_ids)
            yield TokenRow(
                input_ids=input_ids,
                whole_length=lengths[i],
                label=_first_token_labels(word_ids, tags),
                tags=tags,
                seen=[word in shown for word in range(len(tags))],
            )


def _whole_lengths(encoded: Any, tokenizer: Any) -> list[int]:
    """Return how many tokens, special ones included, each text of a batch had before it was cut."""
    special = tokenizer.num_special_tokens_to_add()
    return [len(each) + sum(len(part) - special for part in each.overflowing) for each in encoded.encodings]


def _with_spaces(tokenizer: Any) -> Any:
    """Return a tokenizer to which a word is the same with and without a text around it.

    A byte-level one (RoBERTa's) takes the space before a word as a part of it, and a list of words has none.
    """
    if getattr(tokenizer.backend_tokenizer.pre_tokenizer, "add_prefix_space", True):
        return tokenizer
    spaced = copy.deepcopy(tokenizer)
    spaced.add_prefix_space = spaced.backend_tokenizer.pre_tokenizer.add_prefix_space = True
    return spaced


def _first_token_labels(word_ids: list[int | None], word_labels: Sequence[int]) -> list[int]:
    """Return a label a token: the word's on its first, -100 on its others and on special tokens."""
    before = [None, *word_ids[:-1]]
    return [
        IGNORED_LABEL if word is None or word == previous else word_labels[word]
        for word, previous in zip(word_ids, before, strict=True)
    ]


def _padded(rows: Iterable[TokenRow], pad_token_id: int) -> dict[str, np.ndarray]:
    every = list(rows)
    arrays = {
        "input_ids": _rectangle([row.input_ids for row in every], pad_token_id).astype(np.int32),
        "lengths": np.array([len(row.input_ids) for row in every], np.int32),
        "whole_lengths": np.array([row.whole_length for row in every], np.int32),
    }
    token_labels = [row.label for row in every if isinstance(row.label, list)]
    if not token_labels:
        return arrays | {"labels": np.array([row.label for row in every], np.int64)}
    arrays |= {"labels": _rectangle(token_labels, IGNORED_LABEL)}
    if not any(row.tags for row in every):
        return arrays
    return arrays | {
        "tags": _rectangle([row.tags for row in every], IGNORED_LABEL),
        "seen": _rectangle([row.seen for row in every], 0).astype(bool),
    }


def _rectangle(rows: Sequence[Sequence[int]], filler: int) -> np.ndarray:
    array = np.full((len(rows), max(len(row) for row in rows)), filler, np.int64)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def _load(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}


def _write(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
