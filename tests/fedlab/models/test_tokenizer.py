import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.data.tokens import tokenizer_digest
from fedlab.errors import UserError
from fedlab.models.tokenizer import tokenizer_for

TEXTS = ["The cat sat", "the cat ate"]  # 5 special tokens, 6 letters twice, 4 words


def tokens(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def test_a_text_stands_between_cls_and_sep():
    assert tokens(tokenizer_for(TEXTS, 100), "the cat") == ["[CLS]", "the", "cat", "[SEP]"]


def test_case_and_accents_do_not_count():
    assert tokens(tokenizer_for(TEXTS, 100), "THE Cát") == ["[CLS]", "the", "cat", "[SEP]"]


def test_an_unknown_word_is_spelt_and_an_unknown_letter_is_unknown():
    assert tokens(tokenizer_for(TEXTS, 100), "teach x") == ["[CLS]", "t", "##e", "##a", "##c", "##h", "[UNK]", "[SEP]"]


def test_the_commonest_words_are_known_where_there_is_no_room_for_all():
    tokenizer = tokenizer_for(TEXTS, 5 + 2 * 6 + 2)

    assert len(tokenizer) == 19
    assert tokens(tokenizer, "the cat ate")[1:4] == ["the", "cat", "a"]


def test_letters_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"^backbone.overrides.vocab_size = 16: .* take 17$"):
        tokenizer_for(TEXTS, 16)


@given(st.lists(st.text(), max_size=5), st.randoms(use_true_random=False))
@settings(derandomize=True, max_examples=30)
def test_the_same_texts_in_any_order_give_the_same_tokenizer(texts, draws):
    shuffled = draws.sample(texts, len(texts))

    one, other = (tokenizer_for(each, 5000) for each in (texts, shuffled))

    assert one.get_vocab() == other.get_vocab()
    assert tokenizer_digest(one) == tokenizer_digest(other)


@given(st.lists(st.text(), max_size=5), st.text())
@settings(derandomize=True, max_examples=30)
def test_every_id_is_below_the_size(texts, text):
    tokenizer = tokenizer_for([*texts, "seed"], 200)

    assert max(tokenizer(text)["input_ids"]) < len(tokenizer) <= 200
    assert tokenizer.pad_token_id == 0
