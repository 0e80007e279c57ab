"""The configuration AdaFL searches: where adapters sit and how wide they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedlab.config.builtins import Trains
from fedlab.workload.workload import Configuration

SET_NAMES: Mapping[Trains, str] = {"adapters": "bottleneck", "blocks": "blocks", "everything": "everything"}


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


def configuration_for(trains: Trains, config: AdapterConfig) -> Configuration:
    """Return what is trained as an order names it: the set, and the axes it has."""
    axes = {"adapters": vars(config), "blocks": {"depth": config.depth}, "everything": {}}[trains]
    return {"set": SET_NAMES[trains], **axes}
