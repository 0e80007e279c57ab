"""The families of backbones: one file each, found by the model type that a configuration gives."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from fedlab.common.arrays import Shape
from fedlab.common.short_text import short
from fedlab.config.builtins import BACKBONE_FAMILIES
from fedlab.config.plugins import load_object
from fedlab.errors import UserError
from fedlab.workload.shape import ModelShape

# Of the sizes that memory and the length of tables depend on. The largest published models stay far below.
_MOST: Mapping[str, int] = {"num_hidden_layers": 1000, "hidden_size": 65_536, "intermediate_size": 1_048_576}
_MOST_OTHERS = 10_000_000


def checked_size(value: object, key: str, where: str, *, given: str | None = None) -> int:
    """Return a size of a model: `key` in BERT's configuration, `given` in its own, where that differs.

    Raises:
        UserError: it is no positive whole number, or larger than any model's.
    """
    most = _MOST.get(key, _MOST_OTHERS)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise UserError(f"{where}: {given or key} is {short(value)}, expected a positive whole number, at most {most}")
    return value


@dataclass(frozen=True, kw_only=True)
class EncoderSizes:
    """A backbone's shape, and what its embeddings and blocks are made of.

    `embedding` is by field of `fedlab.models.transformer.encoder.Encoder`; it is empty for a decoder, whose weights are
    not trained whole. `projections` are the shapes [outputs, inputs] of the matrices of one block by role: q, k, v, o,
    gate, up, down. `biases` are the shapes of its biases, by what `fedlab.models.peft.whole_blocks` calls them.
    """

    shape: ModelShape
    vocabulary: int
    positions: int  # the most tokens that a text may have
    embedding: Mapping[str, Shape]
    projections: Mapping[str, Shape] = field(default_factory=dict)
    biases: Mapping[str, Shape] = field(default_factory=dict)
    is_decoder: bool = False
    shares_blocks: bool = False


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """What a family's tokenizers call the special tokens."""

    padding: str = "[PAD]"
    unknown: str = "[UNK]"
    first: str = "[CLS]"
    last: str = "[SEP]"
    masked: str = "[MASK]"
    order: tuple[str, ...] = ("padding", "unknown", "first", "last", "masked")  # their ids, from 0

    def by_id(self) -> list[str]:
        """Return the special tokens in the order of their ids."""
        return [getattr(self, name) for name in self.order]


@dataclass(frozen=True, kw_only=True)
class AdapterPlaces:
    """Where the adapters library keeps the adapters of a model type, and what it calls the model.

    `block` is the name of a block, where {} is its index, `adapters` what holds the adapters of a block.
    """

    model_class: str
    block: str
    adapters: str


class BackboneFamily(Protocol):
    """What a family has to know; importing it takes neither torch nor transformers.

    `model_types` are those of transformers. `model` is always one of its models without a head (`AutoModel`), or, where
    the family `is_decoder`, with the head over the vocabulary (`AutoModelForCausalLM`).
    """

    @property
    def model_types(self) -> Collection[str]:
        """Return the model types it accepts."""

    @property
    def is_decoder(self) -> bool:
        """Tell whether a token is computed from the tokens up to it alone, and the head over the vocabulary is kept."""

    @property
    def known(self) -> Mapping[str, Mapping[str, Any]]:
        """Return configurations of published models by their hub id, as far as they differ from the defaults."""

    @property
    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens of a tokenizer made for random weights."""

    @property
    def overrides(self) -> Mapping[str, str]:
        """Return the sizes that can be set for random weights, and what its configurations call them."""

    @property
    def adapter_places(self) -> Mapping[str, AdapterPlaces]:
        """Return by model type where the adapters library keeps adapters; without those that it has none for."""

    @property
    def targets(self) -> Mapping[str, Collection[str]]:
        """Return the roles of the matrices that a name stands for: q, or as transformers calls its module, q_proj."""

    @property
    def shares_blocks(self) -> bool:
        """Tell whether all blocks are one, which is run many times."""

    def module_names(self, block: int) -> Mapping[str, str]:
        """Return what transformers' model without a head calls the matrices of a block, by role."""

    def sizes(self, config: Mapping[str, Any], where: str) -> EncoderSizes:
        """Read the sizes from a configuration; `where` begins the message if there is a mistake in it.

        Raises:
            UserError: the model computes something that this family's functions do not.
        """

    def weights(self, model: Any) -> Any:
        """Return the `fedlab.models.stored_weights.StoredWeights` of a model; nothing is copied."""

    def from_tensors(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
        """Return the backbone whose `tensors` and `facts` these are."""

    def head(self, model: Any, arrays: Mapping[str, Any], *, kind: str, pooling: str) -> Mapping[str, Any]:
        """Return a trained head as parameters of transformers' own classifier or tagger, by their names there."""

    def write(self, classifier: Any, arrays: Mapping[str, Any], *, kind: str, pooling: str) -> None:
        """Write trained arrays, head included, into transformers' own classifier or tagger of this family."""


@lru_cache(maxsize=1)
def families() -> Mapping[str, BackboneFamily]:
    """Return the built-in families by model type."""
    found: dict[str, BackboneFamily] = {}
    for reference in BACKBONE_FAMILIES.values():
        family: BackboneFamily = load_object(reference, Path())
        found |= dict.fromkeys(family.model_types, family)
    return found


def family_of(model_type: object, where: str) -> BackboneFamily:
    """Return the family of a model type; raises a UserError that begins with `where` if there is none."""
    family = families().get(model_type) if isinstance(model_type, str) else None
    if family is None:
        what = f"a '{model_type}'" if isinstance(model_type, str) else "a model whose configuration gives no model_type"
        raise UserError(f"{where} is {what}; accepted: {', '.join(sorted(families()))}")
    return family


def known_model(name: str) -> Mapping[str, Any] | None:
    """Return the configuration of a published model, its model type included, if its sizes are known here."""
    for model_type, family in families().items():
        if name in family.known:
            return {"model_type": model_type} | dict(family.known[name])
    return None
