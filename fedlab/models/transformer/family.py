"""A family of post-norm encoders, declared: what transformers calls its sizes, its weights and its heads."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fedlab.errors import UserError
from fedlab.models.families import AdapterPlaces, EncoderSizes, SpecialTokens, checked_size
from fedlab.workload.shape import Family, ModelShape

# How transformers' activations approximate GELU, as torch calls it.
GELUS: Mapping[str, Literal["none", "tanh"]] = {"gelu": "none", "gelu_new": "tanh"}


BERTS_TOKENS = SpecialTokens()


@dataclass(frozen=True, kw_only=True)
class ClassifierLayers:
    """Where transformers' classifier of texts has its two layers: states, dense, activation, labels."""

    dense: str
    labels: str
    activation: Literal["tanh", "relu"] = "tanh"


def _from_the_first(config: Mapping[str, Any]) -> int:
    return 0


_ROLES = ("q", "k", "v", "o", "up", "down")  # of a block's matrices


def projection_shapes(shape: ModelShape) -> dict[str, tuple[int, int]]:
    """Return the shapes [outputs, inputs] of a block's matrices by role."""
    hidden, inside = shape.hidden, shape.intermediate
    square = dict.fromkeys(_ROLES[:4], (hidden, hidden))
    return square | {"up": (inside, hidden), "down": (hidden, inside)}


def bias_shapes(shape: ModelShape) -> dict[str, tuple[int]]:
    """Return the shapes of a block's biases by field of `fedlab.models.transformer.encoder.Block`."""
    sizes = {"attention_in": 3 * shape.hidden, "up": shape.intermediate}
    parts = ("attention_in", "attention_out", "attention_norm", "up", "down", "norm")
    return {f"{part}_bias": (sizes.get(part, shape.hidden),) for part in parts}


@dataclass(frozen=True, kw_only=True)
class EncoderFamily:
    """A `fedlab.models.families.BackboneFamily` whose encoders `fedlab.models.transformer.encoder` computes.

    `defaults` are the configuration's sizes where it does not give them. Weights are named as in a state dict of the
    model without a head: `top` by field of `Encoder`, `parts` by part of a block, which lie at `block`, where {} is
    the index; `attention_in` is made of query, key and value.
    """

    name: Family  # by whose tables its costs are scaled
    model_types: tuple[str, ...]
    defaults: Mapping[str, int]
    known: Mapping[str, Mapping[str, Any]]
    config_names: Mapping[str, str] = field(default_factory=dict)  # of sizes and `activation`, where not BERT's
    requires: Mapping[str, object] = field(default_factory=dict)  # values that a configuration has to have if any
    epsilon: float | None = None  # of the layer norms, where the configuration does not give it
    top: Mapping[str, str]
    block: str
    parts: Mapping[str, tuple[str, ...]]
    first_position: Callable[[Mapping[str, Any]], int] = _from_the_first  # the row of a text's first token
    shares_blocks: bool = False
    unnamed: Collection[str] = ()  # last parts of names of modules that are no targets
    classifier: ClassifierLayers
    special_tokens: SpecialTokens = BERTS_TOKENS
    adapter_places: Mapping[str, AdapterPlaces] = field(default_factory=dict)  # by model type
    is_decoder: bool = False

    @property
    def overrides(self) -> Mapping[str, str]:
        """Return the sizes that can be set for random weights, and what its configurations call them."""
        return {name: self._named(name) for name in self.defaults}

    @property
    def targets(self) -> Mapping[str, Collection[str]]:
        """Return the roles of the matrices that a name stands for: q, or as transformers calls its module, query.

        Several matrices of a block may have modules of one name, such as `dense` of BERT. A name means the same in all
        families, so that one which would not is left out (`unnamed`).
        """
        found: dict[str, tuple[str, ...]] = {role: (role,) for role in _ROLES}
        for role, name in self._modules().items():
            last = name.rpartition(".")[2]
            found[last] = (*found.get(last, ()), role)
        return {name: roles for name, roles in found.items() if name not in self.unnamed}

    def module_names(self, block: int) -> Mapping[str, str]:
        """Return what transformers' model without a head calls the matrices of a block, by role."""
        return {role: f"{self.block.format(block)}.{name}" for role, name in self._modules().items()}

    def _modules(self) -> Mapping[str, str]:
        layers = [layer for part in ("attention_in", "attention_out", "up", "down") for layer in self.parts[part]]
        return dict(zip(_ROLES, layers, strict=True))

    def sizes(self, config: Mapping[str, Any], where: str) -> EncoderSizes:
        """Read the sizes from a configuration.

        Raises:
            UserError: a size is no positive whole number, or these encoders compute something else.
        """
        self._check(config, where)
        self.size(config, "num_attention_heads", where)
        shape = ModelShape(
            family=self.name,
            blocks=self.size(config, "num_hidden_layers", where),
            hidden=self.size(config, "hidden_size", where),
            intermediate=self.size(config, "intermediate_size", where),
        )
        positions = self.size(config, "max_position_embeddings", where) - self.first_position(config)
        vocabulary = self.size(config, "vocab_size", where)
        columns = self.size(config, "embedding_size", where) if "embedding_size" in self.defaults else shape.hidden
        shapes = {
            "words": (vocabulary, columns), "positions": (positions, columns), "token_type": (columns,),
            "norm_weight": (columns,), "norm_bias": (columns,),
            "projection_weight": (shape.hidden, columns), "projection_bias": (shape.hidden,),
        }  # fmt: skip
        embedding = {name: each for name, each in shapes.items() if name in self.top}
        return EncoderSizes(
            shape=shape, vocabulary=vocabulary, positions=positions, embedding=embedding,
            projections=projection_shapes(shape), biases=bias_shapes(shape), shares_blocks=self.shares_blocks,
        )  # fmt: skip

    def size(self, config: Mapping[str, Any], key: str, where: str) -> int:
        """Return a size by the name that BERT's configuration has for it; raises UserError if it is none."""
        given = self._named(key)
        value = config.get(given, config.get(key, self.defaults[key]))
        return checked_size(value, key, where, given=given)

    def gelu(self, config: Mapping[str, Any]) -> Literal["none", "tanh"]:
        """Return the form of GELU that a checked configuration asks for."""
        return GELUS[config.get(self._named("hidden_act"), "gelu")]

    def weight_names(self, blocks: int) -> dict[str, tuple[str, ...]]:
        """Return what transformers calls each of `Encoder.tensors`; several are joined along their first dimension."""
        named: dict[str, tuple[str, ...]] = {name: (theirs,) for name, theirs in self.top.items()}
        for index in range(1 if self.shares_blocks else blocks):
            place = self.block.format(index)
            for part, layers in self.parts.items():
                for which in ("weight", "bias"):
                    named[f"blocks.{index}.{part}_{which}"] = tuple(f"{place}.{layer}.{which}" for layer in layers)
        return named

    def weights(self, model: Any) -> Any:
        """Return the `fedlab.models.stored_weights.StoredWeights` of a model."""
        # Imported here: sizes are read without torch.
        from fedlab.models.transformer.weights import weights_of_encoder  # noqa: PLC0415

        return weights_of_encoder(self, model)

    def from_tensors(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
        """Return the encoder whose `tensors` and `facts` these are."""
        from fedlab.models.transformer.encoder import Encoder  # noqa: PLC0415

        return Encoder.from_tensors(tensors, facts)

    def head(self, model: Any, arrays: Mapping[str, Any], *, kind: str, pooling: str) -> Mapping[str, Any]:
        """Return a trained head as parameters of transformers' own classifier or tagger, by their names there."""
        from fedlab.models.transformer.weights import head_parameters  # noqa: PLC0415

        return head_parameters(self, model, arrays, kind=kind, pooling=pooling)

    def write(self, classifier: Any, arrays: Mapping[str, Any], *, kind: str, pooling: str) -> None:
        """Write trained arrays, head included, into transformers' own classifier or tagger of this family."""
        from fedlab.models.transformer.weights import write_classifier  # noqa: PLC0415

        write_classifier(self, classifier, arrays, kind=kind, pooling=pooling)

    def _named(self, key: str) -> str:
        return self.config_names.get(key, key)

    def _check(self, config: Mapping[str, Any], where: str) -> None:
        activation = self._named("hidden_act")
        accepted = {
            activation: tuple(GELUS), "position_embedding_type": ("absolute", None), "is_decoder": (False,),
            **{key: (value,) for key, value in self.requires.items()},
        }  # fmt: skip
        for key, values in accepted.items():
            if config.get(key, values[0]) not in values:
                told = ", ".join(str(value) for value in values if value is not None)
                raise UserError(f"{where} cannot be used: its {key} is {config[key]}; accepted: {told}")
