"""What all local training has in common: its settings, a client's examples, their batches, and the result."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fedlab.common.arrays import Arrays
from fedlab.common.short_text import short
from fedlab.common.units import is_number
from fedlab.data.tokens import IGNORED_LABEL
from fedlab.errors import UserError
from fedlab.models.base import Inputs, TokenIds
from fedlab.models.peft.base import SplitPoint
from fedlab.workload.passes import DEFAULT_PROCESSOR

_NUMBERS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("learning_rate", "final_learning_rate", "clip_norm"),
        lambda it: is_number(it) and 0 < it <= 1e9,
        "a positive number",
    ),
    (("momentum", "weight_decay"), lambda it: is_number(it) and 0 <= it <= 1e9, "a number from zero up"),
    (
        ("batch_size", "epochs", "max_batches", "decay_rounds"),
        lambda it: type(it) is int and 0 < it <= 10**9,
        "a positive whole number",
    ),
)
_MAY_BE_UNSET = ("clip_norm", "max_batches", "final_learning_rate", "decay_rounds")


@dataclass(frozen=True, kw_only=True)
class LocalTraining:
    """How one client trains in one round.

    The defaults are the paper's: one epoch in batches of 4, SGD with learning rate 0.1 falling linearly to zero over
    the local steps, gradients clipped to norm 1. `max_batches` ends the epochs early. With `checkpointing` the
    simulated device keeps only the states that enter blocks and computes the other activations a second time: it is
    billed for that, and the numbers are the same, so that they are computed once. It is billed for the work of its
    `processor`.

    With `decay_rounds` the rate at which a round starts falls from one round to the next along half a cosine, as in
    FlowerTune: it is `final_learning_rate` in that round and all later ones. `schedule` is about the steps of a round.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["linear", "constant"] = "linear"
    final_learning_rate: float | None = None
    decay_rounds: int | None = None
    clip_norm: float | None = 1.0
    batch_size: int = 4
    epochs: int = 1
    max_batches: int | None = None
    checkpointing: bool = False
    processor: str = DEFAULT_PROCESSOR

    def __post_init__(self) -> None:
        if not isinstance(self.processor, str) or not self.processor:
            raise UserError(f"client.options.processor: {short(self.processor)} is not a name")
        if type(self.checkpointing) is not bool:
            raise UserError(f"client.options.checkpointing: {short(self.checkpointing)} is not true or false")
        _one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        _one_of("schedule", self.schedule, ("linear", "constant"))
        for keys, fits, what in _NUMBERS:
            for key in keys:
                value = getattr(self, key)
                if not fits(value) and not (value is None and key in _MAY_BE_UNSET):
                    most = ", at most 1e9" if is_number(value) and value > 1e9 else ""
                    raise UserError(f"client.options.{key}: {short(value)} is not {what}{most}")
        self._check_decay()

    def in_round(self, server_round: int) -> "LocalTraining":
        """Return the settings of a round, counted from 1: those with the learning rate at which it starts.

        Source: `cosine_annealing` of FlowerTune (adap/flower, benchmarks/flowertune-llm), after Loshchilov and Hutter
        2017 (https://arxiv.org/abs/1608.03983).
        """
        if self.decay_rounds is None or self.final_learning_rate is None:
            return self
        past = min(1.0, server_round / self.decay_rounds)
        above = (self.learning_rate - self.final_learning_rate) * (1 + math.cos(math.pi * past)) / 2
        return replace(
            self, learning_rate=self.final_learning_rate + above, final_learning_rate=None, decay_rounds=None
        )

    def _check_decay(self) -> None:
        given = {"final_learning_rate": self.final_learning_rate, "decay_rounds": self.decay_rounds}
        missing = [key for key, value in given.items() if value is None]
        if len(missing) == 1:
            (other,) = given.keys() - missing
            raise UserError(f"client.options.{missing[0]}: is missing; {other} needs it")
        if self.final_learning_rate is not None and self.final_learning_rate > self.learning_rate:
            raise UserError(
                f"client.options.final_learning_rate: {self.final_learning_rate} is above learning_rate "
                f"{self.learning_rate}, from which the rate falls"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingExamples:
    """The texts of one client, as a model that is split at `at` sees them.

    The frozen states may be a larger table, of which text n has row `places[n]`: batches are read from where the
    states are stored, without a copy of all of them. By default row n is text n's.
    """

    at: SplitPoint
    frozen: Tensor  # [N, H], [N, T, H] or token ids [N, T]; or of more rows, with places
    lengths: Tensor  # [N]
    labels: Tensor  # [N] or [N, T]
    places: Tensor | None = None  # [N]
    inputs: type[Inputs] = TokenIds  # what the frozen states are where the model is split at its inputs

    def states(self, rows: np.ndarray, longest: int) -> Tensor:
        """Return the frozen states of some texts, cut to a length in tokens."""
        index = torch.from_numpy(rows)
        by_token = self.inputs is TokenIds if self.at.kind == "inputs" else self.frozen.dim() == 3
        table = self.frozen[:, :longest] if by_token else self.frozen
        return table[index if self.places is None else self.places[index]]

    def on(self, device: torch.device) -> "TrainingExamples":
        """Return the same on a device: on another than the one they are on, the states of these texts alone."""
        if self.frozen.device == device:
            return self
        frozen = self.frozen if self.places is None else self.frozen[self.places]
        return TrainingExamples(
            at=self.at,
            inputs=self.inputs,
            frozen=frozen.to(device),
            lengths=self.lengths.to(device),
            labels=self.labels.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The trained arrays, in the dtypes they had before; `loss` is the mean over the batches."""

    arrays: Arrays
    loss: float
    batches: int


def trainable(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return arrays in float32, the precision of training, without a copy of those that are in it.

    Raises:
        UserError: some are not of floats.
    """
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise UserError(f"array '{name}' has the dtype {array.dtype}; this client trains floats")
    return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}


def learning_rates(settings: LocalTraining, step: int, steps: Tensor) -> Tensor:
    """Return the learning rate of each client at a step, [A, 1]."""
    falling = 1 - step / steps if settings.schedule == "linear" else torch.ones(len(steps), device=steps.device)
    return settings.learning_rate * falling[:, None]


def batch_rows(count: int, settings: LocalTraining, generator: np.random.Generator) -> list[np.ndarray]:
    """Return the rows of every batch: each epoch in a fresh random order, the last batch perhaps short."""
    epochs = (generator.permutation(count) for _ in range(settings.epochs))
    batches = [batch for order in epochs for batch in _chunks(order, settings.batch_size)]
    return batches[: settings.max_batches]


def take_batch(examples: Sequence[TrainingExamples], rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Return a batch of each client, [A * B, ...], cut to the longest text.

    Clients with fewer rows are filled up with copies of their first whose label is -100, which count nothing.
    """
    height = max(len(each) for each in rows)
    filled = [np.resize(each, height) for each in rows]
    lengths = torch.cat([part.lengths[torch.from_numpy(each)] for part, each in zip(examples, filled, strict=True)])
    longest = int(lengths.max())
    labels = torch.cat([part.labels[torch.from_numpy(each)] for part, each in zip(examples, filled, strict=True)])
    for client, each in enumerate(rows):
        labels[client * height + len(each) : (client + 1) * height] = IGNORED_LABEL
    return (
        torch.cat([part.states(each, longest) for part, each in zip(examples, filled, strict=True)]),
        lengths,
        labels[:, :longest] if labels.dim() == 2 else labels,
    )


def _chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _one_of(key: str, value: object, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise UserError(f"client.options.{key}: '{value}' is unknown; accepted: {', '.join(accepted)}")
