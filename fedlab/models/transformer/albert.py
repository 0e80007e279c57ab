"""ALBERT (Lan et al. 2020, https://arxiv.org/abs/1909.11942): one block run many times, and factorised embeddings.

An adapter belongs to a run of the block and not to the block, so every depth has its own, as in any other encoder. The
adapters library keeps adapters in the block itself and can only give all runs the same one. It computes what we do on
a model with `num_hidden_groups` = `num_hidden_layers`, whose groups are all copies of the shared block: the saved
adapter is for that model.

LoRA and biases belong to the block: they are in all its runs, as in PEFT. What is trained then begins at the first run.
"""

from fedlab.models.families import AdapterPlaces, SpecialTokens
from fedlab.models.transformer.family import ClassifierLayers, EncoderFamily

_BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}


ALBERT = EncoderFamily(
    name="albert",
    model_types=("albert",),
    defaults={  # of transformers: the sizes of albert-xxlarge
        "hidden_size": 4096,
        "num_hidden_layers": 12,
        "num_attention_heads": 64,
        "intermediate_size": 16384,
        "embedding_size": 128,
        "vocab_size": 30000,
        "max_position_embeddings": 512,
    },
    known={
        **dict.fromkeys(("albert-base-v2", "albert/albert-base-v2"), _BASE),
        **dict.fromkeys(("albert-large-v2", "albert/albert-large-v2"), _LARGE),
    },
    requires={"num_hidden_groups": 1, "inner_group_num": 1},
    top={
        "words": "embeddings.word_embeddings.weight",
        "positions": "embeddings.position_embeddings.weight",
        "token_type": "embeddings.token_type_embeddings.weight",
        "norm_weight": "embeddings.LayerNorm.weight",
        "norm_bias": "embeddings.LayerNorm.bias",
        "projection_weight": "encoder.embedding_hidden_mapping_in.weight",
        "projection_bias": "encoder.embedding_hidden_mapping_in.bias",
        "pooler_weight": "pooler.weight",
        "pooler_bias": "pooler.bias",
    },
    block="encoder.albert_layer_groups.0.albert_layers.0",
    parts={
        "attention_in": ("attention.query", "attention.key", "attention.value"),
        "attention_out": ("attention.dense",),
        "attention_norm": ("attention.LayerNorm",),
        "up": ("ffn",),
        "down": ("ffn_output",),
        "norm": ("full_layer_layer_norm",),
    },
    shares_blocks=True,
    unnamed=("dense",),  # of attention alone here, and of the feed-forward part as well in other families
    adapter_places={
        "albert": AdapterPlaces(
            model_class="AlbertAdapterModel",
            block="albert.encoder.albert_layer_groups.{}.albert_layers.0",
            adapters="output_adapters.adapters",
        ),
    },
    classifier=ClassifierLayers(dense="albert.pooler", labels="classifier"),
    special_tokens=SpecialTokens(padding="<pad>", unknown="<unk>"),
)
