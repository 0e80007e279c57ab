"""AdaFL's search over configurations of adapters or LoRA: pure rules that propose a trial and use its outcome.

Source: "Efficient Federated Learning for Modern NLP", MobiCom'23 (arXiv 2205.10162), progressive training with
sideline trials.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedlab.models.peft.base import GrowingSet, with_axes

# Cheapest first: in a tie the first group wins.
STAYS = "shallow"  # this group keeps the current configuration
GROUPS = (STAYS, "wide", "deep")


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The configurations, and the steps between them.

    `interval_seconds(config)` is `base_seconds * (expand * depth + 1)`; the paper used a base of 60 or 90 s,
    expand 4, width steps of 8 up to 64, depth steps of 1 (20NEWS, AGNEWS) or 4 (SEMEVAL, ONTONOTES). What is called a
    width is the set's axis of size: of LoRA, the rank.

    A larger configuration wins only if it is more accurate than the current one by more than `min_gain`. The paper uses
    0; on a small validation split, noise alone then makes the model grow.
    """

    blocks: int
    depth_step: int = 1
    width_step: int = 8
    max_width: int = 64
    base_seconds: float = 60.0
    expand: float = 4.0
    min_gain: float = 0.0

    def interval_seconds(self, config: GrowingSet) -> float:
        """Return the simulated time that each group of a trial from `config` may use."""
        return self.base_seconds * (self.expand * config.depth + 1)

    def deeper(self, config: GrowingSet) -> GrowingSet | None:
        """Return the next deeper configuration, or None at the maximum. From depth 0 a step of 1 leads to 2."""
        step = 2 if config.depth == 0 and self.depth_step == 1 else self.depth_step
        depth = min(config.depth + step, self.blocks)
        return with_axes(config, depth=depth) if depth > config.depth else None

    def wider(self, config: GrowingSet) -> GrowingSet | None:
        """Return the next wider configuration, or None at the maximum."""
        current = int(config.configuration[config.size_axis])
        width = min(current + self.width_step, self.max_width)
        return with_axes(config, **{config.size_axis: width}) if width > current else None


@dataclass(frozen=True, kw_only=True)
class AdapterSearch:
    """The state of the search: the configuration that every group starts from, and the number of trials so far."""

    space: SearchSpace
    current: GrowingSet
    trials: int = 0

    def propose(self) -> dict[str, GrowingSet]:
        """Return the groups of the next trial with their configurations; at both maxima only `shallow` is left."""
        candidates = {
            STAYS: self.current,
            "deep": self.space.deeper(self.current),
            "wide": self.space.wider(self.current),
        }
        return {group: config for group, config in candidates.items() if config is not None}

    def budget_seconds(self) -> float:
        """Return the time budget of the next trial."""
        return self.space.interval_seconds(self.current)

    def observe(self, accuracies: Mapping[str, float]) -> tuple[str, "AdapterSearch"]:
        """Return the winning group of the proposed trial, and the search that continues from it."""
        proposed = self.propose()
        assert set(accuracies) == set(proposed), f"expected accuracies of {sorted(proposed)}, got {sorted(accuracies)}"
        merits = {group: each - (group != STAYS) * self.space.min_gain for group, each in accuracies.items()}
        winner = max((group for group in GROUPS if group in merits), key=lambda group: merits[group])
        return winner, replace(self, current=proposed[winner], trials=self.trials + 1)
