from itertools import pairwise

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fedlab.data.language_rows import answered, answered_row, blocks, text_rows
from fedlab.data.templates import Piece

IGNORED = -100
UNK, BOS, EOS, PAD, Q, A, RED, GREEN, FAR, SEA, YES, NO = range(12)  # of `word_tokenizer`


def _pieces(*texts):
    return [Piece(text=text, counts=bool(place % 2)) for place, text in enumerate(texts)]


def test_every_token_of_a_text_but_its_first_is_a_label_of_the_one_before(word_tokenizer):
    (row,) = text_rows(["red sea"], word_tokenizer, 8)
    assert row.input_ids == [BOS, RED, SEA, EOS]
    assert row.label == [RED, SEA, EOS, IGNORED]


def test_a_text_that_is_too_long_loses_its_end_and_its_whole_length_is_known(word_tokenizer):
    (row,) = text_rows(["red sea far green"], word_tokenizer, 4)
    assert (row.input_ids, row.label) == ([BOS, RED, SEA, FAR], [RED, SEA, FAR, IGNORED])
    assert row.whole_length == 6


def test_blocks_hold_every_token_and_predict_each_but_the_first_once():
    rows = list(blocks([[1, 5, 6, 2], [1, 7, 2]], 4))
    assert [row.input_ids for row in rows] == [[1, 5, 6, 2], [2, 1, 7, 2]]
    assert [token for row in rows for token in row.label if token != IGNORED] == [5, 6, 2, 1, 7, 2]
    assert all(before.input_ids[-1] == after.input_ids[0] for before, after in pairwise(rows))


def test_the_last_block_may_be_shorter_and_is_never_a_token_alone():
    for length in range(2, 12):
        rows = list(blocks([list(range(length))], 4))
        assert all(2 <= len(row.input_ids) <= 4 for row in rows)
        assert sum(token != IGNORED for row in rows for token in row.label) == length - 1


def test_the_tokens_of_a_response_alone_count(word_tokenizer):
    (each,) = answered([_pieces("Q: red sea A:", " yes</s>")], word_tokenizer, starts=True)
    assert each.ids == [BOS, Q, RED, SEA, A, YES, EOS]
    row = answered_row(each, 16)
    assert row.label == [IGNORED, IGNORED, IGNORED, IGNORED, YES, EOS, IGNORED]
    assert each.last_prompt == [BOS, Q, RED, SEA, A]


def test_all_responses_of_a_chat_count_and_the_prompt_of_the_last_ends_before_it(word_tokenizer):
    (each,) = answered([_pieces("red", " yes", " sea", " no")], word_tokenizer, starts=False)
    assert each.ids == [RED, YES, SEA, NO]
    assert each.counts == [False, True, False, True]
    assert each.last_prompt == [RED, YES, SEA]


def test_a_prompt_that_is_too_long_loses_its_beginning_and_never_the_response(word_tokenizer):
    (each,) = answered([_pieces("Q: red sea A:", " yes</s>")], word_tokenizer, starts=True)
    row = answered_row(each, 5)
    assert row.input_ids == [BOS, SEA, A, YES, EOS]
    assert (row.label, row.whole_length) == ([IGNORED, IGNORED, YES, EOS, IGNORED], 7)


def test_a_response_that_is_too_long_alone_loses_its_end(word_tokenizer):
    (each,) = answered([_pieces("Q: red A:", " yes no yes no")], word_tokenizer, starts=True)
    row = answered_row(each, 4)
    assert (row.input_ids, row.label) == ([BOS, A, YES, NO], [IGNORED, YES, NO, IGNORED])


def test_where_a_token_would_join_prompt_and_response_they_are_tokenised_apart():
    """By characters and the pair `ab`: in "xa" + "b" the pair would be half a prompt."""
    vocabulary = {token: number for number, token in enumerate(["x", "a", "b", "ab"])}
    backend = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="x")
    together, apart = answered([_pieces("x", "ab"), _pieces("xa", "b")], tokenizer, starts=True)
    assert (together.ids, together.counts) == ([0, 3], [False, True])
    assert (apart.ids, apart.counts) == ([0, 1, 2], [False, False, True])


@pytest.mark.parametrize("longest", [4, 5, 6, 7])
def test_a_row_is_never_longer_than_asked_and_something_in_it_counts(word_tokenizer, longest):
    (each,) = answered([_pieces("Q: red green sea A:", " yes</s>")], word_tokenizer, starts=True)
    row = answered_row(each, longest)
    assert len(row.input_ids) == len(row.label) == longest
    assert [token for token in row.label if token != IGNORED] == [YES, EOS]
    assert GREEN in row.input_ids or longest < 7
