"""Texts as token ids: tokenised once a machine, kept on disk and mapped into the memory of every process."""

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedlab.common.cache_folder import publish
from fedlab.errors import UserError

IGNORED_LABEL = -100  # what torch's cross entropy leaves out
_BATCH = 1000
_ARRAYS = ("input_ids", "lengths", "labels")


@dataclass(frozen=True, kw_only=True)
class TokenSet:
    """N texts as arrays on disk, T tokens wide, where T is the longest text's length and at most `max_length`."""

    input_ids: np.ndarray  # int32 [N, T], padded on the right with the tokenizer's padding id
    lengths: np.ndarray  # int32 [N], tokens that are not padding
    labels: np.ndarray  # int64 [N]; tagging: [N, T], -100 on padding, special tokens and all but a word's first token
    digest: str  # of what it was made from; equal digests mean equal arrays

    def __len__(self) -> int:
        return len(self.lengths)


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

    Texts longer than `max_length` tokens, special ones included, are cut; words cut off lose their labels.

    Raises:
        UserError: the tokenizer is not a fast one, or has no padding token.
    """
    assert len(texts) == len(labels) > 0
    key = _digest(texts, labels, tokenizer_digest(tokenizer), max_length, kind)
    encode = _tagging_rows if kind == "tagging" else _classification_rows
    rows = encode(texts, labels, tokenizer, max_length)
    needs = [f"{name}.npy" for name in _ARRAYS]
    publish(cache_folder / key, lambda folder: _write(folder, _padded(rows, tokenizer.pad_token_id)), needs=needs)
    return read_tokens(cache_folder, key)


def read_tokens(cache_folder: Path, digest: str) -> TokenSet:
    """Map the token set of this digest into memory; raises `FileNotFoundError` if it is not in the cache."""
    arrays = {name: np.load(cache_folder / digest / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    return TokenSet(**arrays, digest=digest)


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of what a tokenizer does, whatever it was last used for.

    Raises:
        UserError: it is not a fast tokenizer, or has no padding token.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(f"tokenizer {type(tokenizer).__name__}: expected a fast one (a PreTrainedTokenizerFast)")
    if tokenizer.pad_token_id is None:
        raise UserError(f"tokenizer {type(tokenizer).__name__}: it has no padding token, and texts need to be padded")
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # A call that cuts or pads leaves its settings behind in these two.
    lasting = {key: value for key, value in state.items() if key not in ("truncation", "padding")}
    return _digest(lasting, tokenizer.pad_token_id, tokenizer.truncation_side)


TokenRow = tuple[list[int], int | list[int]]  # token ids; a label, or one a token


def _classification_rows(texts: Any, labels: Any, tokenizer: Any, max_length: int) -> Iterator[TokenRow]:
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer(list(texts[start : start + _BATCH]), truncation=True, max_length=max_length)
        yield from zip(encoded["input_ids"], labels[start : start + _BATCH], strict=True)


def _tagging_rows(texts: Any, labels: Any, tokenizer: Any, max_length: int) -> Iterator[TokenRow]:
    tokenizer = _with_spaces(tokenizer)
    for start in range(0, len(texts), _BATCH):
        words = [list(sentence) for sentence in texts[start : start + _BATCH]]
        encoded = tokenizer(words, truncation=True, max_length=max_length, is_split_into_words=True)
        for i, input_ids in enumerate(encoded["input_ids"]):
            yield input_ids, _first_token_labels(encoded.word_ids(i), labels[start + i])


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


def _padded(rows: Iterator[TokenRow], pad_token_id: int) -> dict[str, np.ndarray]:
    input_ids, labels = zip(*rows, strict=True)
    return {
        "input_ids": _rectangle(input_ids, pad_token_id).astype(np.int32),
        "lengths": np.array([len(ids) for ids in input_ids], np.int32),
        "labels": _rectangle(labels, IGNORED_LABEL) if isinstance(labels[0], list) else np.array(labels, np.int64),
    }


def _rectangle(rows: Sequence[Sequence[int]], filler: int) -> np.ndarray:
    array = np.full((len(rows), max(len(row) for row in rows)), filler, np.int64)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def _write(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
