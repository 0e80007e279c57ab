"""RoBERTa (Liu et al. 2019, https://arxiv.org/abs/1907.11692) and XLM-R (Conneau et al. 2020).

BERT's blocks. Positions are counted from the one after the padding id, so the rows before it are never read, and the
classifier has a dense layer of its own, which has the form of the pooler.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fedlab.errors import UserError
from fedlab.models.families import AdapterPlaces, SpecialTokens
from fedlab.models.transformer.bert import BERT
from fedlab.models.transformer.family import ClassifierLayers

_BASE = {"max_position_embeddings": 514, "type_vocab_size": 1}
_LARGE = {
    **_BASE, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
}  # fmt: skip
_MULTILINGUAL = {**_BASE, "vocab_size": 250002}


def _after_the_padding(config: Mapping[str, Any]) -> int:
    padding = config.get("pad_token_id", 1)
    if not isinstance(padding, int):
        raise UserError(f"backbone.name: the model's pad_token_id is {padding!r}, expected a whole number")
    return padding + 1


ROBERTA = replace(
    BERT,
    name="roberta",
    model_types=("roberta", "xlm-roberta"),
    defaults={**BERT.defaults, "vocab_size": 50265},
    known={
        **dict.fromkeys(("roberta-base", "FacebookAI/roberta-base"), _BASE),
        **dict.fromkeys(("roberta-large", "FacebookAI/roberta-large"), _LARGE),
        **dict.fromkeys(("xlm-roberta-base", "FacebookAI/xlm-roberta-base"), _MULTILINGUAL),
    },
    first_position=_after_the_padding,
    adapter_places={
        model_type: AdapterPlaces(model_class=name, block="roberta.encoder.layer.{}", adapters="output.adapters")
        for model_type, name in {"roberta": "RobertaAdapterModel", "xlm-roberta": "XLMRobertaAdapterModel"}.items()
    },
    classifier=ClassifierLayers(dense="classifier.dense", labels="classifier.out_proj"),
    special_tokens=SpecialTokens(
        padding="<pad>", unknown="<unk>", first="<s>", last="</s>", masked="<mask>",
        order=("first", "padding", "last", "unknown", "masked"),
    ),
)  # fmt: skip
