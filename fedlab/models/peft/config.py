"""The configuration AdaFL searches: where adapters sit and how wide they are."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Adapters of `width` bottleneck units in the top `depth` blocks; depth 0 trains the head alone.

    `width` is kept at depth 0 as well: it is the width the first adapters will have.
    """

    depth: int
    width: int

    def __post_init__(self) -> None:
        assert self.depth >= 0, f"depth {self.depth} is negative"
        assert self.width >= 1, f"width {self.width} is not positive"

    def __str__(self) -> str:
        return f"({self.depth}, {self.width})"
