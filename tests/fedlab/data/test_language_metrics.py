import math

import numpy as np
import pytest

from fedlab.data.label_words import label_words
from fedlab.data.language_metrics import score_by, text_measures, token_measures, word_measures
from fedlab.data.metrics import others_of


def test_perplexity_is_of_the_mean_over_all_tokens_and_not_over_texts():
    guesses = np.array([[math.log(2), 1, 1], [3 * math.log(4), 1, 3]])
    found = token_measures(guesses)
    assert found["perplexity"] == pytest.approx((2 * 4**3) ** (1 / 4))
    assert found["likelihood"] == pytest.approx(1 / found["perplexity"])
    assert found["token-accuracy"] == pytest.approx(2 / 4)


@pytest.mark.parametrize("loss", [math.inf, math.nan, 1e9])
def test_a_perplexity_that_is_too_large_is_a_number_all_the_same(loss):
    assert math.isfinite(token_measures(np.array([[loss, 0, 1]]))["perplexity"])


def test_where_nothing_counts_the_accuracy_is_zero():
    assert token_measures(np.zeros((2, 3)))["token-accuracy"] == 0.0


def test_the_likeliest_word_is_chosen_and_perplexity_is_that_of_the_right_ones():
    words = label_words([(1,), (2,)])
    scores = np.log(np.array([[[0.75, 0.25]], [[0.5, 0.25]], [[0.25, 0.5]]]))
    found = word_measures(scores, np.array([0, 1, 1]), words)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["perplexity"] == pytest.approx((1 / 0.75 * 4 * 2) ** (1 / 3))


def test_texts_are_compared_as_squad_and_rouge_do():
    found = text_measures(["The Eiffel Tower!", "a red green sea"], ["eiffel tower", "red sea far"])
    assert found["exact-match"] == 0.5  # without case, articles and punctuation
    assert found["f1"] == pytest.approx((1 + 2 * 2 / (3 + 3)) / 2)
    # ROUGE-L: "eiffel tower" of 3 and 2 words; "red sea" of 4 and 3 words
    assert found["rouge-l"] == pytest.approx((2 * 2 / (3 + 2) + 2 * 2 / (4 + 3)) / 2)


def test_a_score_is_a_number_with_other_measures_beside_it():
    score = score_by("f1", {"f1": 0.5, "perplexity": 4.0})
    assert score == 0.5
    assert others_of(score) == {"perplexity": 4.0}
    assert others_of(0.5) == {}
