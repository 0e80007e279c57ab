"""Label words: answers that a model chooses among by their likelihood after a prompt.

A text that has all words would be as many texts as there are words. But a model that reads a path of tokens guesses
the next one after each of them, so one path serves all words that begin on it: of World, Sports and Sci/Tech only
`Sci /` need be read. Most sets of words need one path.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlab.data.language_rows import Answered, shortened_prompt
from fedlab.data.tokens import IGNORED_LABEL, TokenRow
from fedlab.errors import UserError

Word = tuple[int, ...]  # its tokens, after a prompt


@dataclass(frozen=True, kw_only=True)
class LabelWords:
    """The tokens of each label word, and the paths of tokens that are read to score them all."""

    words: tuple[Word, ...]
    paths: tuple[Word, ...]

    def columns(self) -> np.ndarray:
        """Return the tokens of the words step by step, [steps, words], 0 behind the end of a word."""
        steps = max(map(len, self.words))
        return np.array([[*word, *[0] * (steps - len(word))] for word in self.words], np.int64).T

    def path_of(self, word: Word) -> int:
        """Return the first path that a word but for its last token lies on."""
        return next(place for place, path in enumerate(self.paths) if path[: len(word) - 1] == word[:-1])


def label_words(words: Sequence[Word]) -> LabelWords:
    """Return label words with the fewest paths that score them all."""
    needed = sorted({word[:-1] for word in words}, key=lambda path: (-len(path), path))
    paths: list[Word] = []
    for path in needed:
        if not any(longer[: len(path)] == path for longer in paths):
            paths.append(path)
    return LabelWords(words=tuple(words), paths=tuple(paths))


def words_after(
    prompt: Sequence[Answered], each: Sequence[Answered], labels: Sequence[int], names: Sequence[str], tokenizer: Any
) -> LabelWords:
    """Find the tokens of each label word where it answers a prompt; `prompt` is one prompt, answered by every word.

    Raises:
        UserError: a word has a token that the vocabulary lacks, begins another word, or has other tokens after one of
            the prompts in `each`, whose words are `labels`.
    """
    words = [_word_of(answer, tokenizer) for answer in prompt]
    for name, word in zip(names, words, strict=True):
        if not word or tokenizer.unk_token_id in word:
            raise UserError(
                f"task.labels: '{name}' is out of the tokenizer's vocabulary, it becomes"
                f" {tokenizer.convert_ids_to_tokens(list(word)) or 'nothing'}: use another word"
            )
        longer = [other for other, tokens in zip(names, words, strict=True) if tokens[: len(word)] == word]
        if len(longer) > 1:
            others = " and ".join(f"'{other}'" for other in longer)
            raise UserError(
                f"task.labels: {others} begin with the same tokens, so that their likelihoods cannot be compared: use"
                " other words"
            )
    for answer, label in zip(each, labels, strict=True):
        if _word_of(answer, tokenizer) != words[label]:
            raise UserError(
                f"task.labels: '{names[label]}' has other tokens after some prompts: end task.prompt or task.template"
                " with a line break"
            )
    return label_words(words)


def scored_rows(each: Sequence[Answered], words: LabelWords, max_length: int) -> Iterator[TokenRow]:
    """Yield a row for each prompt and path; the labels that are not -100 mark where words are scored."""
    longest = max(map(len, words.words))
    for answer in each:
        ids, counts = shortened_prompt(answer, max_length)
        prompt = ids[: counts.index(True)]
        over = max(0, len(prompt) + longest - max_length)
        prompt = [*prompt[: answer.start], *prompt[answer.start + over :]]
        for path in words.paths:
            marks = [*path, words.words[0][0]]
            label = [*[IGNORED_LABEL] * (len(prompt) - 1), *marks]
            yield TokenRow(input_ids=[*prompt, *path], whole_length=len(answer.ids), label=label)


def word_scores(scores: np.ndarray, words: LabelWords) -> np.ndarray:
    """Return the log likelihood of each word, [N, C].

    `scores` are those of the words' tokens on each path, [N x paths, steps, C].
    """
    by_text = scores.reshape(-1, len(words.paths), *scores.shape[1:])
    found = [by_text[:, words.path_of(word), : len(word), place].sum(axis=1) for place, word in enumerate(words.words)]
    return np.stack(found, axis=1)


def _word_of(answer: Answered, tokenizer: Any) -> Word:
    """Return the tokens of a response without those that end its turn."""
    tokens = [token for token, counted in zip(answer.ids, answer.counts, strict=True) if counted]
    while tokens and tokens[-1] in tokenizer.all_special_ids and tokens[-1] != tokenizer.unk_token_id:
        tokens.pop()
    return tuple(tokens)
