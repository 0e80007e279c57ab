"""Tokens back as texts: prompts, responses, and what a model wrote."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.data.tokens import IGNORED_LABEL, TokenSet

NOTHING = -1  # behind the last token that a model wrote


@dataclass(frozen=True, kw_only=True)
class TokenTexts:
    """Decodes tokens by a tokenizer's file, as its library `tokenizers` writes it."""

    tokenizer: Any

    @classmethod
    def read(cls, path: Path) -> "TokenTexts":
        """Read the tokenizer's file."""
        from tokenizers import Tokenizer  # noqa: PLC0415  (a second, and most processes decode nothing)

        return cls(tokenizer=Tokenizer.from_file(str(path)))

    def text(self, ids: Iterable[int]) -> str:
        """Return tokens as a text without special tokens and without blanks around it."""
        return str(self.tokenizer.decode([int(each) for each in ids], skip_special_tokens=True)).strip()

    def decoded(self, written: np.ndarray) -> list[str]:
        """Return what a model wrote, [N, tokens], as texts."""
        return [self.text(row[row != NOTHING]) for row in written]

    def references(self, tokens: TokenSet, count: int) -> list[str]:
        """Return the last responses of the first texts of a split."""
        return [self.text(_last_response(tokens, row)) for row in range(count)]


def prompt_of(tokens: TokenSet, row: int) -> list[int]:
    """Return the tokens before the last response of a text; of plain text, its first half."""
    labels, length = np.asarray(tokens.labels[row]), int(tokens.lengths[row])
    start = _start_of_last_response(labels)
    ids: list[int] = tokens.input_ids[row][:length].tolist()
    return ids[: start + 1] if start else ids[: max(1, length // 2)]


def _last_response(tokens: TokenSet, row: int) -> np.ndarray:
    labels = np.asarray(tokens.labels[row])
    counted = np.flatnonzero(labels != IGNORED_LABEL)
    start = _start_of_last_response(labels) or int(tokens.lengths[row]) // 2
    return labels[counted[counted >= start]]


def _start_of_last_response(labels: np.ndarray) -> int:
    """Return the place of the first label of the last run of labels that are not -100; 0 if it begins the text."""
    counted = np.flatnonzero(labels != IGNORED_LABEL)
    if not len(counted):
        return 0
    breaks = np.flatnonzero(np.diff(counted) > 1)
    return int(counted[breaks[-1] + 1] if len(breaks) else counted[0])
