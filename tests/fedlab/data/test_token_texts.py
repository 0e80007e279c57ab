import numpy as np
import pytest

from fedlab.data.token_texts import TokenTexts, prompt_of
from fedlab.data.tokens import TokenSet

UNK, BOS, EOS, PAD, Q, A, RED, GREEN, FAR, SEA, YES, NO = range(12)  # of `word_tokenizer`
_X = -100


def _tokens(ids, labels):
    lengths = np.array([len(each) for each in ids], np.int32)
    width = lengths.max()
    rows = np.array([[*each, *[PAD] * (width - len(each))] for each in ids], np.int32)
    marks = np.array([[*each, *[_X] * (width - len(each))] for each in labels])
    return TokenSet(input_ids=rows, lengths=lengths, whole_lengths=lengths, labels=marks, digest="")


@pytest.fixture
def texts(word_tokenizer, tmp_path):
    word_tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    return TokenTexts.read(tmp_path / "tokenizer.json")


def test_what_a_model_wrote_is_text_without_special_tokens(texts):
    assert texts.decoded(np.array([[RED, SEA, -1], [YES, EOS, -1], [-1, -1, -1]])) == ["red sea", "yes", ""]


def test_the_prompt_and_the_reference_are_those_of_the_last_response(texts):
    chat = [BOS, RED, YES, EOS, SEA, NO, EOS]
    tokens = _tokens([chat, [BOS, RED, YES]], [[_X, YES, EOS, _X, NO, EOS, _X], [_X, YES, _X]])
    assert prompt_of(tokens, 0) == chat[:5]
    assert prompt_of(tokens, 1) == [BOS, RED]
    assert texts.references(tokens, 2) == ["no", "yes"]


def test_of_plain_text_the_first_half_is_the_prompt(texts):
    tokens = _tokens([[BOS, RED, SEA, FAR]], [[RED, SEA, FAR, _X]])
    assert prompt_of(tokens, 0) == [BOS, RED]
