"""How a language model is scored: by its guesses of tokens, by the likelihood of label words, or by what it writes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fedlab.config.task_table import OF_TEXTS, ScoreName
from fedlab.data.label_words import LabelWords


@dataclass(frozen=True, kw_only=True)
class Language:
    """How a language model is scored.

    Where `words` are scored, the validation and test splits have a row for each text and path of the words, and
    `answers` has the label of each text. For the first `texts` of a split, the model writes at most `new_tokens` each,
    up to one of the tokens `ends`.
    """

    scored_by: ScoreName
    texts: int
    new_tokens: int
    ends: tuple[int, ...]
    words: LabelWords | None = None
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)  # int64 [texts] by split

    @property
    def writes(self) -> bool:
        """Whether the score is of texts that the model writes."""
        return self.scored_by in OF_TEXTS

    def plain(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {**asdict(self), "answers": {split: each.tolist() for split, each in self.answers.items()}}


def language_from(plain: Mapping[str, Any]) -> Language:
    """Return what `Language.plain` wrote as a JSON object."""
    words = plain["words"]
    return Language(
        **{
            **plain,
            "ends": tuple(plain["ends"]),
            "words": None if words is None else LabelWords(**{key: tuple(map(tuple, words[key])) for key in words}),
            "answers": {split: np.array(each, np.int64) for split, each in plain["answers"].items()},
        }
    )
