"""The sizes of a model that its cost depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Family = Literal["bert", "distilbert", "roberta", "albert", "llama"]


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a transformer that its cost depends on."""

    family: Family
    blocks: int
    hidden: int
    intermediate: int


# The models a table is for if it does not say: the base models of the families.
REFERENCE_SHAPES: Mapping[Family, ModelShape] = {
    "bert": ModelShape(family="bert", blocks=12, hidden=768, intermediate=3072),
    "distilbert": ModelShape(family="distilbert", blocks=6, hidden=768, intermediate=3072),
    "roberta": ModelShape(family="roberta", blocks=12, hidden=768, intermediate=3072),
    "albert": ModelShape(family="albert", blocks=12, hidden=768, intermediate=3072),
    "llama": ModelShape(family="llama", blocks=32, hidden=4096, intermediate=11008),
}
