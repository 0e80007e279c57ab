"""The sizes of a model that its cost depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedlab.workload.checks import check_whole, refuse
from fedlab.workload.conv_shape import ConvShape

Family = Literal["bert", "distilbert", "roberta", "albert", "llama"]
TabledFamily = Literal["bert", "distilbert", "roberta", "albert"]  # those that boards have tables of

_USUAL_HEAD = 64  # the size of a head of all published encoders of these families
_COUNTS = ("heads", "kv_heads", "head_size", "vocabulary")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a transformer that its cost depends on.

    The fields after `intermediate` are for decoders. An encoder leaves them as they are: it has heads of 64, and the
    vocabulary of its family's base model. `kv_heads` are the heads of keys and values, which `heads` share in groups;
    0 means as many as `heads`. `head_size` 0 means that the heads share the hidden size. A `gated` feed-forward part
    has a third matrix. `tied` means that the head of tokens is the embedding. `attention_biases` says that queries,
    keys and values have biases, as Qwen2's have.
    """

    family: Family
    blocks: int
    hidden: int
    intermediate: int
    heads: int = 0
    kv_heads: int = 0
    head_size: int = 0
    vocabulary: int = 0
    gated: bool = False
    tied: bool = True
    attention_biases: bool = False

    def __post_init__(self) -> None:
        """Check the sizes that decoders have. Raises UserError."""
        for name in _COUNTS:
            check_whole(name, getattr(self, name), least=0)
        if self.kv_heads and self.query_heads % self.kv_heads:
            refuse("kv_heads", self.kv_heads, f"a divisor of the {self.query_heads} heads")

    @property
    def is_decoder(self) -> bool:
        """Whether it predicts the next token: attention is causal, and the head has a logit for each word."""
        return self.family == "llama"

    @property
    def query_heads(self) -> int:
        """Return the number of heads."""
        return self.heads or max(1, self.hidden // _USUAL_HEAD)

    @property
    def query_size(self) -> int:
        """Return the size of all queries of a token."""
        return self.query_heads * self.head_size if self.head_size else self.hidden

    @property
    def kv_size(self) -> int:
        """Return the size of all keys of a token, which is that of all values."""
        kv_heads = self.kv_heads or self.query_heads
        return self.query_size * kv_heads // self.query_heads


AnyShape = ModelShape | ConvShape  # the sizes of any model that its cost depends on

# The encoders a table is for if it does not say: the base models of the families.
REFERENCE_SHAPES: Mapping[TabledFamily, ModelShape] = {
    "bert": ModelShape(family="bert", blocks=12, hidden=768, intermediate=3072),
    "distilbert": ModelShape(family="distilbert", blocks=6, hidden=768, intermediate=3072),
    "roberta": ModelShape(family="roberta", blocks=12, hidden=768, intermediate=3072),
    "albert": ModelShape(family="albert", blocks=12, hidden=768, intermediate=3072),
}
