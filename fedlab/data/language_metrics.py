"""Scores of language models: of the tokens they guess, the label words they choose and the texts they write."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedlab.data.label_words import LabelWords, word_scores
from fedlab.data.metrics import Score

# What is known of the guesses in a row: the sum of their negative log likelihoods, how many are right, how many count.
LOSS, RIGHT, COUNTED = range(3)
_LARGEST_EXPONENT = 100.0  # a perplexity beyond that is written as exp(100): a figure that JSON can hold


def token_measures(guesses: np.ndarray) -> dict[str, float]:
    """Return token accuracy, perplexity and the likelihood of a token (its geometric mean), of rows [N, 3].

    The mean is over all tokens, not over texts. The likelihood is 1 / perplexity, which is a score from 0 to 1.
    """
    loss, right, counted = np.asarray(guesses, np.float64).sum(axis=0)
    mean = loss / counted if counted else 0.0
    mean = min(mean, _LARGEST_EXPONENT) if math.isfinite(mean) else _LARGEST_EXPONENT
    accuracy = right / counted if counted else 0.0
    return {
        "token-accuracy": float(accuracy),
        "perplexity": math.exp(mean),
        "likelihood": math.exp(-mean),
    }


def word_measures(scores: np.ndarray, answers: np.ndarray, words: LabelWords) -> dict[str, float]:
    """Return the accuracy of choosing the likeliest label word, and the perplexity of the right ones.

    `scores` are the log likelihoods of tokens on the words' paths, [N x paths, steps, C] (`label_words.word_scores`);
    `answers` are the right words, [N]. Among equals the first is chosen.
    """
    by_word = word_scores(np.asarray(scores, np.float64), words)
    chosen = by_word.argmax(axis=1)
    right = by_word[np.arange(len(answers)), answers]
    lengths = np.array([len(word) for word in words.words])[answers]
    guesses = np.stack([-right, chosen == answers, lengths], axis=1)
    return {
        "accuracy": float((chosen == answers).mean()),
        "perplexity": token_measures(guesses)["perplexity"],
    }


def text_measures(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return exact match and F1 as SQuAD has them, and ROUGE-L (F-measure): each the mean over the texts, 0 to 1."""
    # Imported here: seconds, and only tasks whose texts are scored need them.
    from torchmetrics.functional.text import rouge_score, squad  # noqa: PLC0415

    predictions = [{"prediction_text": text, "id": str(number)} for number, text in enumerate(written)]
    targets: list[Any] = [
        {"answers": {"text": [text], "answer_start": [0]}, "id": str(number)} for number, text in enumerate(references)
    ]
    found = squad(predictions, targets)
    rouge = rouge_score(list(written), [[text] for text in references], rouge_keys="rougeL")
    return {
        "exact-match": float(found["exact_match"]) / 100,
        "f1": float(found["f1"]) / 100,
        "rouge-l": float(rouge["rougeL_fmeasure"]),
    }


def score_by(name: str, measures: Mapping[str, float]) -> Score:
    """Return the measure of a name as the score, with the others beside it."""
    return Score.of(measures[name], {other: value for other, value in measures.items() if other != name})
