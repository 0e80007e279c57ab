"""The ranges of the options of Flower's own strategies, which take whatever they are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from fedlab.common.short_text import short
from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `least` to `most`; without an end where it says so."""

    least: float = -inf
    most: float = inf
    without_least: bool = False
    without_most: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.least if self.without_least else value >= self.least
        return above and (value < self.most if self.without_most else value <= self.most)

    def __str__(self) -> str:
        least = "" if self.least == -inf else f"{'above' if self.without_least else 'from'} {self.least:g}"
        most = "" if self.most == inf else f"{'below' if self.without_most else 'up to'} {self.most:g}"
        return f"a number {' and '.join(filter(None, (least, most)))}"


_SHARE = Range(least=0, most=1)
_COUNT = Range(least=0, most=10**9)
_DECAY = Range(least=0, most=1, without_most=True)
_RATE = Range(least=0, most=1e6, without_least=True)
_RANGES: Mapping[str, Range] = {
    "fraction_train": _SHARE,
    "fraction_evaluate": _SHARE,
    "min_train_nodes": _COUNT,
    "min_evaluate_nodes": _COUNT,
    "min_available_nodes": _COUNT,
    "num_malicious_nodes": _COUNT,
    "num_nodes_to_select": Range(least=1, most=10**9),
    "eta": _RATE,
    "eta_l": _RATE,
    "tau": _RATE,
    "beta_1": _DECAY,
    "beta_2": _DECAY,
    "beta": Range(least=0, most=0.5, without_most=True),
    "server_learning_rate": _RATE,
    "server_momentum": _DECAY,
    "proximal_mu": Range(least=0, most=1e6),
    "q": Range(least=0, most=1e6),
    "client_learning_rate": _RATE,
}


def check_flower_options(strategy: Any, options: Mapping[str, Any], place: str) -> None:
    """Raise a UserError if an option of a strategy of Flower's own package is out of its range."""
    if not str(getattr(strategy, "__module__", "")).startswith("flwr."):
        return
    for key, value in options.items():
        accepted = _RANGES.get(key)
        if accepted is not None and type(value) in (int, float) and value not in accepted:
            raise UserError(f"{place}.{key} = {short(value)}: expected {accepted}")
