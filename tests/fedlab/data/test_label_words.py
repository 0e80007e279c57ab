import numpy as np
import pytest

from fedlab.data.label_words import label_words, scored_rows, word_scores, words_after
from fedlab.data.language_rows import answered
from fedlab.data.templates import Piece
from fedlab.errors import UserError

IGNORED = -100
UNK, BOS, EOS, PAD, Q, A, RED, GREEN, FAR, SEA, YES, NO = range(12)  # of `word_tokenizer`


def _answers(prompt, words, tokenizer):
    pieces = [[Piece(text=prompt, counts=False), Piece(text=f" {word}</s>", counts=True)] for word in words]
    return answered(pieces, tokenizer, starts=True)


def _found(names, tokenizer, given=("yes",)):
    return words_after(
        _answers("Q: sea A:", names, tokenizer), _answers("far", given, tokenizer), [0], names, tokenizer
    )


def test_words_of_one_token_are_all_scored_behind_the_prompt(word_tokenizer):
    words = _found(["yes", "no"], word_tokenizer)
    assert (words.words, words.paths) == (((YES,), (NO,)), ((),))


def test_one_path_serves_all_words_that_begin_on_it():
    words = label_words([(1,), (2, 3, 4), (2, 5), (6, 7)])
    assert words.paths == ((2, 3), (6,))
    assert [words.path_of(word) for word in words.words] == [0, 0, 0, 1]


def test_rows_have_the_prompt_with_each_path_and_marks_where_words_go_on(word_tokenizer):
    words = _found(["yes", "red sea", "green far"], word_tokenizer)
    each = _answers("Q: far A:", ["yes"], word_tokenizer)
    rows = list(scored_rows(each, words, 16))
    assert [row.input_ids for row in rows] == [[BOS, Q, FAR, A, RED], [BOS, Q, FAR, A, GREEN]]
    assert [[label != IGNORED for label in row.label] for row in rows] == [[False, False, False, True, True]] * 2


def test_a_prompt_makes_room_for_the_longest_word(word_tokenizer):
    words = _found(["yes", "red sea far"], word_tokenizer)
    (row,) = scored_rows(_answers("Q: far green A:", ["yes"], word_tokenizer), words, 5)
    assert row.input_ids == [BOS, A, RED, SEA]


def test_the_likelihood_of_a_word_is_that_of_its_tokens_on_its_path():
    words = label_words([(1,), (2, 3), (4, 5)])  # paths: 2, 4
    assert words.columns().tolist() == [[1, 2, 4], [0, 3, 5]]
    on_two = [[-1.0, -2.0, -3.0], [9.0, -0.5, 9.0]]
    on_four = [[-1.0, -2.0, -3.0], [9.0, 9.0, -0.25]]
    assert word_scores(np.array([on_two, on_four]), words).tolist() == [[-1.0, -2.5, -3.25]]


@pytest.mark.parametrize(
    ("names", "given", "said"),
    [
        (["yes", "perhaps"], ["yes"], "'perhaps' is out of the tokenizer's vocabulary, it becomes ['<unk>']"),
        (["red", "red sea"], ["red"], "'red' and 'red sea' begin with the same tokens"),
        (["yes", "no"], ["no"], "'yes' has other tokens after some prompts"),
    ],
)
def test_words_that_cannot_be_compared_are_refused_in_one_line(word_tokenizer, names, given, said):
    with pytest.raises(UserError) as raised:
        _found(names, word_tokenizer, given)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
