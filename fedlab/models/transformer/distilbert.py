"""DistilBERT (Sanh et al. 2019, https://arxiv.org/abs/1910.01108): BERT with half the blocks and no token types."""

from fedlab.models.families import AdapterPlaces
from fedlab.models.transformer.family import ClassifierLayers, EncoderFamily

DISTILBERT = EncoderFamily(
    name="distilbert",
    model_types=("distilbert",),
    defaults={
        "hidden_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
    },
    known={"distilbert-base-uncased": {}, "distilbert/distilbert-base-uncased": {}},
    config_names={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
    epsilon=1e-12,  # a constant of its own, not in its configuration
    top={
        "words": "embeddings.word_embeddings.weight",
        "positions": "embeddings.position_embeddings.weight",
        "norm_weight": "embeddings.LayerNorm.weight",
        "norm_bias": "embeddings.LayerNorm.bias",
    },
    block="transformer.layer.{}",
    parts={
        "attention_in": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "attention_out": ("attention.out_lin",),
        "attention_norm": ("sa_layer_norm",),
        "up": ("ffn.lin1",),
        "down": ("ffn.lin2",),
        "norm": ("output_layer_norm",),
    },
    adapter_places={
        "distilbert": AdapterPlaces(
            model_class="DistilBertAdapterModel",
            block="distilbert.transformer.layer.{}",
            adapters="output_adapters.adapters",
        ),
    },
    classifier=ClassifierLayers(dense="pre_classifier", labels="classifier", activation="relu"),
)
