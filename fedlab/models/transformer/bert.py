"""BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805)."""

from fedlab.models.families import AdapterPlaces
from fedlab.models.transformer.family import ClassifierLayers, EncoderFamily

BERT = EncoderFamily(
    name="bert",
    model_types=("bert",),
    defaults={
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
    },
    known={"bert-base-uncased": {}, "google-bert/bert-base-uncased": {}},
    top={
        "words": "embeddings.word_embeddings.weight",
        "positions": "embeddings.position_embeddings.weight",
        "token_type": "embeddings.token_type_embeddings.weight",
        "norm_weight": "embeddings.LayerNorm.weight",
        "norm_bias": "embeddings.LayerNorm.bias",
        "pooler_weight": "pooler.dense.weight",
        "pooler_bias": "pooler.dense.bias",
    },
    block="encoder.layer.{}",
    parts={
        "attention_in": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention_out": ("attention.output.dense",),
        "attention_norm": ("attention.output.LayerNorm",),
        "up": ("intermediate.dense",),
        "down": ("output.dense",),
        "norm": ("output.LayerNorm",),
    },
    adapter_places={
        "bert": AdapterPlaces(
            model_class="BertAdapterModel", block="bert.encoder.layer.{}", adapters="output.adapters"
        ),
    },
    classifier=ClassifierLayers(dense="bert.pooler.dense", labels="classifier"),
)
