import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaTokenizerFast

from fedlab.data.tokens import read_tokens, tokenize, tokenizer_digest
from fedlab.errors import UserError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "##on", "##do", "beach", "is", "far"]
PAD, UNK, CLS, SEP, RED, ON, DO, BEACH, IS, FAR = range(len(WORDS))


@pytest.fixture
def tokenizer():
    wordpiece = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.Lowercase()
    wordpiece.pre_tokenizer = pre_tokenizers.Whitespace()
    wordpiece.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=wordpiece, pad_token="[PAD]", unk_token="[UNK]")


def test_texts_are_padded_to_the_longest(tokenizer, tmp_path):
    tokens = tokenize(
        ["Redon", "beach is far"],
        [1, 0],
        tokenizer=tokenizer,
        max_length=8,
        kind="classification",
        cache_folder=tmp_path,
    )
    assert tokens.input_ids.tolist() == [[CLS, RED, ON, SEP, PAD], [CLS, BEACH, IS, FAR, SEP]]
    assert tokens.lengths.tolist() == [4, 5]
    assert tokens.labels.tolist() == [1, 0]
    assert (tokens.input_ids.dtype, tokens.lengths.dtype, tokens.labels.dtype) == (np.int32, np.int32, np.int64)
    assert len(tokens) == 2


def test_long_texts_are_cut_to_max_length(tokenizer, tmp_path):
    tokens = tokenize(
        ["beach is far"], [0], tokenizer=tokenizer, max_length=4, kind="classification", cache_folder=tmp_path
    )
    assert tokens.input_ids.tolist() == [[CLS, BEACH, IS, SEP]]
    assert (tokens.lengths.tolist(), tokens.whole_lengths.tolist()) == ([4], [5])
    assert tokens.words is None


def test_the_length_before_the_cut_is_known_however_much_is_cut(tokenizer, tmp_path):
    tokens = tokenize(
        ["beach", " ".join(["far"] * 33)],
        [0, 0],
        tokenizer=tokenizer,
        max_length=4,
        kind="classification",
        cache_folder=tmp_path,
    )
    assert tokens.whole_lengths.tolist() == [3, 35]


def test_the_tags_of_words_that_are_cut_off_or_have_no_token_are_kept(tokenizer, tmp_path):
    tokens = tokenize(
        [["Redondo", " ", "Beach", "is", "far"], ["far"]],
        [[1, 2, 3, 0, 4], [0]],
        tokenizer=tokenizer,
        max_length=6,
        kind="tagging",
        cache_folder=tmp_path,
    )
    assert tokens.words.tags.tolist() == [[1, 2, 3, 0, 4], [0, -100, -100, -100, -100]]
    assert tokens.words.seen.tolist() == [[True, False, True, False, False], [True, False, False, False, False]]
    assert tokens.whole_lengths.tolist() == [8, 3]


def test_tags_stand_on_the_first_token_of_each_word(tokenizer, tmp_path):
    tokens = tokenize(
        [["Redondo", "Beach", "is"], ["far"]],
        [[1, 2, 0], [0]],
        tokenizer=tokenizer,
        max_length=6,
        kind="tagging",
        cache_folder=tmp_path,
    )
    assert tokens.input_ids.tolist() == [[CLS, RED, ON, DO, BEACH, SEP], [CLS, FAR, SEP, PAD, PAD, PAD]]
    assert tokens.labels.tolist() == [[-100, 1, -100, -100, 2, -100], [-100, 0, -100, -100, -100, -100]]


def test_words_of_a_byte_level_tokenizer_are_those_of_running_text(tmp_path):
    """RoBERTa's tokenizer: Ġ stands for the space before a word."""
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *"redfa", "Ġ", "re", "Ġre", "Ġred", "fa"]
    merges = [("r", "e"), ("Ġ", "re"), ("Ġre", "d"), ("f", "a")]
    model = models.BPE({token: i for i, token in enumerate(vocabulary)}, merges)
    tokenizer = RobertaTokenizerFast(tokenizer_object=_byte_level(model))
    before = tokenizer_digest(tokenizer)

    tokens = tokenize(
        [["red", "fa"]], [[1, 2]], tokenizer=tokenizer, max_length=8, kind="tagging", cache_folder=tmp_path
    )

    found = tokenizer.convert_ids_to_tokens(tokens.input_ids[0].tolist())
    assert found == ["<s>", "Ġred", "Ġ", "fa", "</s>"]
    assert tokens.labels.tolist() == [[-100, 1, 2, -100, -100]]
    assert tokenizer_digest(tokenizer) == before
    assert tokenizer.convert_ids_to_tokens(tokenizer("red").input_ids) == ["<s>", "re", "d", "</s>"]


def _byte_level(model):
    byte_level = Tokenizer(model)
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return byte_level


def test_a_second_call_maps_the_same_files_and_tokenises_nothing(tokenizer, tmp_path, monkeypatch):
    def call():
        return tokenize(["red"], [0], tokenizer=tokenizer, max_length=8, kind="classification", cache_folder=tmp_path)

    first = call()
    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", lambda *_, **__: pytest.fail("tokenised again"))
    second = call()
    assert isinstance(second.input_ids, np.memmap)
    assert not second.input_ids.flags.writeable
    assert second.digest == first.digest
    np.testing.assert_array_equal(second.input_ids, first.input_ids)


def test_the_key_depends_on_everything_that_matters(tokenizer, tmp_path):
    def digest(texts=("red",), labels=(0,), max_length=8):
        return tokenize(
            texts, labels, tokenizer=tokenizer, max_length=max_length, kind="classification", cache_folder=tmp_path
        ).digest

    assert len({digest(), digest(texts=("far",)), digest(labels=(1,)), digest(max_length=7)}) == 4


def test_a_tokenizer_is_the_same_after_it_was_used(tokenizer):
    before = tokenizer_digest(tokenizer)
    tokenizer(["red"], truncation=True, max_length=3, padding="max_length")
    assert tokenizer_digest(tokenizer) == before


def test_a_tokenizer_with_another_word_is_another(tokenizer):
    before = tokenizer_digest(tokenizer)
    tokenizer.add_tokens(["new"])
    assert tokenizer_digest(tokenizer) != before


def test_slow_tokenizers_are_refused():
    with pytest.raises(UserError, match="expected a fast one"):
        tokenizer_digest(object())


def test_tokens_that_are_not_in_the_cache_are_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tokens(tmp_path, "0" * 64)
