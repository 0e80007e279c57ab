"""The codecs of a run, as an order carries them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Spec = str | Mapping[str, Any]  # "int8", "top-k:0.01", or a table of a name and its options


@dataclass(frozen=True, kw_only=True)
class CodecTerms:
    """The pipelines of a run, by their specs: of updates, of models sent down, of residuals kept.

    Without a `memory` nothing is fed back. `seed` keys the draws of stochastic rounding.
    """

    up: tuple[Spec, ...] = ()
    down: tuple[Spec, ...] = ()
    memory: tuple[Spec, ...] | None = None
    seed: int = 0

    def to_json(self) -> str:
        """Return the terms as they travel."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "CodecTerms":
        """Read terms that travelled."""
        read = json.loads(text)
        memory = None if read["memory"] is None else tuple(read["memory"])
        return cls(up=tuple(read["up"]), down=tuple(read["down"]), memory=memory, seed=read["seed"])
