"""A tokenizer of whole words, with marks of beginning and end, and a chat template."""

import pytest

WORDS = [
    "<unk>",
    "<s>",
    "</s>",
    "<pad>",
    "Q:",
    "A:",
    "red",
    "green",
    "far",
    "sea",
    "yes",
    "no",
    "maybe",
    "user",
    "model",
]
UNK, BOS, EOS, PAD, Q, A, RED, GREEN, FAR, SEA, YES, NO, MAYBE, USER, MODEL = range(len(WORDS))
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ 'model' if message.role == 'assistant' else 'user' }} {{ message.content }} "
    "{% if message.role == 'assistant' %}</s> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}model {% endif %}"
)


@pytest.fixture
def word_tokenizer():
    """Return a tokenizer whose tokens are the words of a text, and blanks nothing."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    marks = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=CHAT_TEMPLATE, **marks)
