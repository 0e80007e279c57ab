"""Llama (Touvron et al. 2023, https://arxiv.org/abs/2302.13971), Mistral (Jiang et al. 2023), Qwen2 (Yang et al. 2024).

SmolLM2 and TinyLlama are Llamas. The three compute the same blocks: Qwen2 has biases of query, key and value, Llama has
biases if its configuration says so, Mistral has none. Where a model attends to a window of its last tokens alone, texts
may be as long as the window, within which this is the same as attending to all tokens.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedlab.common.short_text import short
from fedlab.errors import UserError
from fedlab.models.decoders import published_of
from fedlab.models.families import AdapterPlaces, EncoderSizes, SpecialTokens, checked_size
from fedlab.workload.shape import ModelShape

# Scaled rotary embeddings whose frequencies depend on the configuration alone, for texts up to the model's own length.
ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "llama3")
_ROLES: Mapping[str, str] = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}  # of a block's matrices, and what transformers calls them

LLAMAS_TOKENS = SpecialTokens(
    padding="<pad>", unknown="<unk>", first="<s>", last="</s>", masked="<mask>",
    order=("unknown", "first", "last", "padding", "masked"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecoderFamily:
    """A `fedlab.models.families.BackboneFamily` whose decoders `fedlab.models.transformer.decoder` computes.

    `defaults` are the configuration's sizes where it does not give them. `biases` says of a part of a block whether it
    has one, or by which key of the configuration it has. `window` is the `sliding_window` of a configuration that gives
    none; it holds if the key `window_if`, if there is one, is true.
    """

    model_types: tuple[str, ...]
    defaults: Mapping[str, int]
    biases: Mapping[str, str | bool]
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    window: int | None = None
    window_if: str | None = None
    adapter_class: str | None = None  # what the adapters library calls its model, if it has one
    is_decoder: bool = True
    shares_blocks: bool = False
    special_tokens: SpecialTokens = LLAMAS_TOKENS

    @property
    def overrides(self) -> Mapping[str, str]:
        """Return the sizes that can be set for random weights, and what its configurations call them."""
        return {name: name for name in (*self.defaults, "num_key_value_heads")}

    @property
    def adapter_places(self) -> Mapping[str, AdapterPlaces]:
        """Return by model type where the adapters library keeps adapters; without those that it has none for."""
        if self.adapter_class is None:
            return {}
        places = AdapterPlaces(
            model_class=self.adapter_class, block="model.layers.{}", adapters="output_adapters.adapters"
        )
        return dict.fromkeys(self.model_types, places)

    @property
    def targets(self) -> Mapping[str, Collection[str]]:
        """Return the roles of the matrices that a name stands for: q, or as transformers calls its module, q_proj."""
        return {role: (role,) for role in _ROLES} | {_last(name): (role,) for role, name in _ROLES.items()}

    def module_names(self, block: int) -> Mapping[str, str]:
        """Return what transformers' model without a head calls the matrices of a block, by role."""
        return {role: f"layers.{block}.{name}" for role, name in _ROLES.items()}

    def sizes(self, config: Mapping[str, Any], where: str) -> EncoderSizes:
        """Read the sizes from a configuration.

        Raises:
            UserError: a size is no positive whole number, or these decoders compute something else.
        """
        self._check(config, where)
        heads, kv_heads, head_size = self.heads(config, where)
        has = {part: told if isinstance(told, bool) else bool(config.get(told)) for part, told in self.biases.items()}
        shape = ModelShape(
            family="llama",
            blocks=self._size(config, "num_hidden_layers", where),
            hidden=self._size(config, "hidden_size", where),
            intermediate=self._size(config, "intermediate_size", where),
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            vocabulary=self._size(config, "vocab_size", where),
            gated=True,
            tied=bool(config.get("tie_word_embeddings", False)),
            attention_biases=has["attention_in"],
        )
        projections = projection_shapes(shape, heads, kv_heads, head_size)
        return EncoderSizes(
            shape=shape,
            vocabulary=shape.vocabulary,
            positions=self._longest(config, where),
            embedding={},
            projections=projections,
            biases={f"{part}_bias": shape for part, shape in bias_shapes(projections).items() if has[part]},
            is_decoder=True,
        )

    def heads(self, config: Mapping[str, Any], where: str) -> tuple[int, int, int]:
        """Return the number of heads, that of heads of keys and values, and their size; raises as `sizes`."""
        heads, hidden = self._size(config, "num_attention_heads", where), self._size(config, "hidden_size", where)
        given = {name: config.get(name) for name in ("num_key_value_heads", "head_dim")}
        known = {name: value for name, value in given.items() if value is not None}
        shared = self._size({"num_key_value_heads": heads, **known}, "num_key_value_heads", where)
        size = self._size({"head_dim": hidden // heads, **known}, "head_dim", where)
        if heads % shared or size % 2:
            raise UserError(
                f"{where} cannot be used: it has {heads} heads of size {size} and {shared} of keys and values; "
                "accepted: a number of heads that these divide, of an even size"
            )
        return heads, shared, size

    def weights(self, model: Any) -> Any:
        """Return the `fedlab.models.stored_weights.StoredWeights` of a model."""
        # Imported here: sizes are read without torch.
        from fedlab.models.transformer.decoder_weights import weights_of_decoder  # noqa: PLC0415

        return weights_of_decoder(self, model)

    def from_tensors(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
        """Return the decoder whose `tensors` and `facts` these are."""
        from fedlab.models.transformer.decoder import Decoder  # noqa: PLC0415

        return Decoder.from_tensors(tensors, facts)

    def head(self, model: Any, arrays: Mapping[str, Any], *, kind: str, pooling: str) -> Mapping[str, Any]:
        """Return a trained head, if there is one, as parameters of transformers' own classifier or tagger."""
        names = {"score.weight": "head.weight", "score.bias": "head.bias"}
        return {theirs: arrays[ours] for theirs, ours in names.items() if ours in arrays}

    def write(self, classifier: Any, arrays: Mapping[str, Any], *, kind: str, pooling: str) -> None:
        """Write trained biases and a head into transformers' own classifier or tagger of this family."""
        from fedlab.models.transformer.decoder_weights import write_classifier  # noqa: PLC0415

        write_classifier(classifier, arrays, self.head(classifier, arrays, kind=kind, pooling=pooling))

    def _size(self, config: Mapping[str, Any], key: str, where: str) -> int:
        return checked_size(config.get(key, self.defaults.get(key)), key, where)

    def _longest(self, config: Mapping[str, Any], where: str) -> int:
        """Return the most tokens for which these functions are exact: the model's own, or those of its window."""
        positions = self._size(config, "max_position_embeddings", where)
        if self.window_if and not config.get(self.window_if):
            return positions
        if config.get("sliding_window", self.window) is None:
            return positions
        given = {"sliding_window": config.get("sliding_window", self.window)}
        return min(positions, self._size(given, "sliding_window", where))

    def _check(self, config: Mapping[str, Any], where: str) -> None:
        if (activation := config.get("hidden_act", "silu")) != "silu":
            raise UserError(f"{where} cannot be used: its hidden_act is {short(activation)}; accepted: silu")
        scaling = config.get("rope_scaling") or {}
        kind = scaling.get("rope_type", scaling.get("type", "default")) if isinstance(scaling, dict) else scaling
        if kind not in ROPE_TYPES:
            told = ", ".join(ROPE_TYPES)
            raise UserError(f"{where} cannot be used: its rope_scaling is {short(kind)}; accepted: {told}")


def projection_shapes(shape: ModelShape, heads: int, shared: int, size: int) -> dict[str, tuple[int, int]]:
    """Return the shapes [outputs, inputs] of a block's matrices by role, by the numbers and the size of its heads."""
    hidden, inside = shape.hidden, shape.intermediate
    return {
        "q": (heads * size, hidden),
        "k": (shared * size, hidden),
        "v": (shared * size, hidden),
        "o": (hidden, heads * size),
        "gate": (inside, hidden),
        "up": (inside, hidden),
        "down": (hidden, inside),
    }


def bias_shapes(projections: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int]]:
    """Return the shapes that the biases of a block have if it has any, by part; `up` is that of gate and up."""
    outputs = {role: shape[0] for role, shape in projections.items()}
    return {
        "attention_in": (outputs["q"] + outputs["k"] + outputs["v"],),
        "attention_out": (outputs["o"],),
        "up": (outputs["gate"] + outputs["up"],),
        "down": (outputs["down"],),
    }


def _last(name: str) -> str:
    return name.rpartition(".")[2]


LLAMA = DecoderFamily(
    model_types=("llama",),
    adapter_class="LlamaAdapterModel",
    biases={
        "attention_in": "attention_bias",
        "attention_out": "attention_bias",
        "up": "mlp_bias",
        "down": "mlp_bias",
    },
    defaults={
        "vocab_size": 32000,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 11008,
        "max_position_embeddings": 2048,
    },
    known=published_of("llama"),
)
MISTRAL = DecoderFamily(
    model_types=("mistral",),
    adapter_class="MistralAdapterModel",
    biases=dict.fromkeys(LLAMA.biases, False),
    defaults={
        **LLAMA.defaults,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    },
    known=published_of("mistral"),
    window=4096,
)
QWEN2 = DecoderFamily(
    model_types=("qwen2",),
    biases=dict.fromkeys(LLAMA.biases, False) | {"attention_in": True},
    defaults={
        **LLAMA.defaults, "vocab_size": 151936, "intermediate_size": 22016, "max_position_embeddings": 32768,
    },
    known=published_of("qwen2"),
    window=4096,
    window_if="use_sliding_window",
)  # fmt: skip
