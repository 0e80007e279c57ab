"""Training that diverges: losses that grow without bound, and models that are no longer finite."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.config.builtins import TRAINS
from fedlab.config.schema import Experiment
from fedlab.results.records import ClientRecord, group_records

_GROWTH = 10.0  # times the lowest loss of any round before
_LOSS = 100.0  # and at least this: far above that of guessing among any number of labels
_SERVER_RATES = ("eta", "server_learning_rate")  # of Flower's strategies


@dataclass(frozen=True, kw_only=True)
class DivergenceRule:
    """When a run counts as diverged, what is then done, and what to lower.

    `first_loss` stands for the loss before the first round, None if clients may measure it on any scale.
    """

    action: Literal["stop", "warn"] = "stop"
    first_loss: float | None = None
    advice: str = "lower client.options.learning_rate"

    def flaw(self, loss: float | None, lowest_loss: float | None) -> str | None:
        """Say what is wrong with a round's training loss, given the lowest of the rounds before; None if nothing is."""
        before = self.first_loss if lowest_loss is None else lowest_loss
        if loss is None or before is None or (loss <= max(_LOSS, _GROWTH * before)):
            return None
        seen = "" if lowest_loss is None else f" after {lowest_loss:.3g}"
        return f"training diverges: the loss is {loss:.3g}{seen}; {self.advice}"

    def model_flaw(self, arrays: Arrays) -> str | None:
        """Say what is wrong with a new model, None if all its values are finite."""
        broken = next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
        return broken and f"training diverges: the new model is not finite ({broken}); {self.advice}"


def divergence_rule(experiment: Experiment) -> DivergenceRule:
    """Return the rule for an experiment, with the names of the rates that it sets."""
    client, server = experiment.client, experiment.strategy.options
    rates = [f"client.options.learning_rate{_said(client.options, 'learning_rate')}"]
    rates += [f"strategy.options.{name}{_said(server, name)}" for name in _SERVER_RATES if name in server]
    return DivergenceRule(
        action=experiment.on_divergence,
        # Built-in clients report a cross-entropy: guessing among a thousand labels has 6.9.
        first_loss=math.log(1000) if client.name in TRAINS else None,
        advice=f"lower {' or '.join(rates)}",
    )


def best_loss(clients: Sequence[ClientRecord]) -> float | None:
    """Return the training loss of a round: the mean over its clients, of the group with the lowest if it has several.

    A group of a trial may diverge: it loses the trial.
    """
    losses = [group.train_loss for group in group_records(clients) if group.train_loss is not None]
    return min(losses, default=None)


def _said(options: Mapping[str, object], name: str) -> str:
    return f" (now {options[name]})" if name in options else ""
