"""A tokenizer for an encoder with random weights: BERT's word pieces, with a vocabulary from the texts of the task."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from fedlab.errors import UserError
from fedlab.models.families import SpecialTokens

_MOST_LETTERS = 1000


def tokenizer_for(texts: Iterable[str], size: int, special: SpecialTokens | None = None) -> Any:
    """Return a fast, lower-casing word piece tokenizer of at most `size` tokens: letters, then words by frequency.

    Unlike the trainer of the tokenizers library, which numbers tokens in the order of a hash table, it gives the same
    ids to the same texts every time. A word it does not know is spelt. The special tokens, by default BERT's, have
    the ids that a model of their family expects.

    Raises:
        UserError: the letters alone take more than `size` tokens.
    """
    # Imported here: seconds to import, and only a random encoder needs it.
    from tokenizers import BertWordPieceTokenizer  # noqa: PLC0415
    from transformers import BertTokenizerFast  # noqa: PLC0415

    special = special or SpecialTokens()
    first = special.by_id()
    words = _words(texts)
    letters = Counter[str]()
    for word, count in words.items():
        letters.update(dict.fromkeys(word, count))
    spelling = _commonest(letters)[:_MOST_LETTERS]
    tokens = list(dict.fromkeys([*first, *spelling, *(f"##{letter}" for letter in spelling), *_commonest(words)]))
    needed = len(first) + 2 * len(spelling)
    if size < needed:
        raise UserError(f"backbone.overrides.vocab_size = {size}: the letters of the texts alone take {needed}")
    vocabulary = {token: number for number, token in enumerate(tokens[:size])}
    names = {
        "pad_token": special.padding, "unk_token": special.unknown, "cls_token": special.first,
        "sep_token": special.last, "mask_token": special.masked,
    }  # fmt: skip
    pieces = BertWordPieceTokenizer(vocab=vocabulary, **names)._tokenizer
    return BertTokenizerFast(tokenizer_object=pieces, **names)


def _words(texts: Iterable[str]) -> Counter[str]:
    """Count the words as BERT's tokenizer sees them."""
    from tokenizers.normalizers import BertNormalizer  # noqa: PLC0415
    from tokenizers.pre_tokenizers import BertPreTokenizer  # noqa: PLC0415

    normalizer, splitter = BertNormalizer(), BertPreTokenizer()
    return Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))


def _commonest(counts: Counter[str]) -> list[str]:
    """Return what was counted, the commonest first, ties in the order of the alphabet."""
    return sorted(counts, key=lambda thing: (-counts[thing], thing))
