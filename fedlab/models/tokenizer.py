"""A tokenizer for an encoder that has none: BERT's own, with a vocabulary taken from the texts of the task."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from fedlab.errors import UserError

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MOST_LETTERS = 1000


def tokenizer_for(texts: Iterable[str], size: int) -> Any:
    """Return a fast, lower-casing BERT tokenizer of at most `size` tokens: letters, then words by frequency.

    Unlike the trainer of the tokenizers library, which numbers tokens in the order of a hash table, it gives the same
    ids to the same texts every time. A word it does not know is spelt.

    Raises:
        UserError: the letters alone take more than `size` tokens.
    """
    # Imported here: seconds to import, and only a random encoder needs it.
    from tokenizers import BertWordPieceTokenizer  # noqa: PLC0415
    from transformers import BertTokenizerFast  # noqa: PLC0415

    words = _words(texts)
    letters = Counter[str]()
    for word, count in words.items():
        letters.update(dict.fromkeys(word, count))
    spelling = _commonest(letters)[:_MOST_LETTERS]
    tokens = list(dict.fromkeys([*_SPECIAL, *spelling, *(f"##{letter}" for letter in spelling), *_commonest(words)]))
    needed = len(_SPECIAL) + 2 * len(spelling)
    if size < needed:
        raise UserError(f"backbone.overrides.vocab_size = {size}: the letters of the texts alone take {needed}")
    vocabulary = {token: number for number, token in enumerate(tokens[:size])}
    return BertTokenizerFast(tokenizer_object=BertWordPieceTokenizer(vocab=vocabulary)._tokenizer)


def _words(texts: Iterable[str]) -> Counter[str]:
    """Count the words as BERT's tokenizer sees them."""
    from tokenizers.normalizers import BertNormalizer  # noqa: PLC0415
    from tokenizers.pre_tokenizers import BertPreTokenizer  # noqa: PLC0415

    normalizer, splitter = BertNormalizer(), BertPreTokenizer()
    return Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))


def _commonest(counts: Counter[str]) -> list[str]:
    """Return what was counted, the commonest first, ties in the order of the alphabet."""
    return sorted(counts, key=lambda thing: (-counts[thing], thing))
