"""Local training of a convolutional network in integers alone (`fedlab.models.integer`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from fedlab.common.short_text import short
from fedlab.errors import UserError
from fedlab.messages.integer_arrays import EXPONENTS, check_integer_arrays
from fedlab.models.cnn.network import ConvNetwork
from fedlab.models.integer.network import IntegerRules, check_integer_layers
from fedlab.models.integer.rescaling import Rescaling, ShiftHistory
from fedlab.models.integer.tensor import IntegerTensor
from fedlab.models.integer.training import IntegerTraining
from fedlab.models.integer.update import MuSchedule, schedule_of
from fedlab.training.finetune import Vary, as_they_are
from fedlab.training.local import LocalTraining, TrainingExamples, TrainingResult, batch_rows, take_batch


@dataclass(frozen=True, kw_only=True)
class LocalIntegers:
    """How one client trains in integers in one round.

    `mu` is the learning rate: the largest step of a weight is about 2^mu of 127 levels. It is one number, or pairs of a
    server round, counted from 0, and the mu from then on. `max_batches` ends the epochs early. With `adaptive` shifts
    are reused (`fedlab.models.integer.rescaling`); what is known of them lasts for the round.
    """

    mu: int | Sequence[Sequence[int]] = 1
    batch_size: int = 10
    epochs: int = 1
    max_batches: int | None = None
    adaptive: bool = False

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        _ = self.schedule, self.batches

    @property
    def schedule(self) -> MuSchedule:
        """Return mu by server round."""
        if not _is_schedule(self.mu):
            raise UserError(f"client.options.mu: {short(self.mu)} is not a whole number, or pairs of such")
        return schedule_of(self.mu)

    @property
    def batches(self) -> LocalTraining:
        """Return what says which batches there are."""
        return LocalTraining(batch_size=self.batch_size, epochs=self.epochs, max_batches=self.max_batches)

    def mu_in_round(self, server_round: int) -> int:
        """Return mu in a server round, counted from 1."""
        return self.schedule.at(max(0, server_round - 1))


def _is_schedule(mu: object) -> bool:
    if type(mu) is int:
        return True
    pairs = isinstance(mu, list | tuple) and all(isinstance(pair, list | tuple) for pair in mu)
    return pairs and all(type(number) is int for pair in mu for number in pair)  # type: ignore[attr-defined]


def train_integers(
    network: ConvNetwork,
    examples: TrainingExamples,
    arrays: Mapping[str, np.ndarray],
    settings: LocalIntegers,
    rules: IntegerRules,
    generator: np.random.Generator,
    *,
    server_round: int,
    vary: Vary = as_they_are,
    shifts: dict[str, ShiftHistory] | None = None,
) -> TrainingResult:
    """Train a network of int8 mantissas and exponents on the examples.

    The loss is that of the logits as floats, for reports alone. `shifts` is told of the shifts of all tensors.

    Raises:
        UserError: the network has layers that integers cannot compute, or the arrays are not int8.
    """
    check_integer_arrays(arrays)
    layers = network.encoder.sizes.layers
    check_integer_layers(layers)
    plan = batch_rows(len(examples.lengths), settings.batches, generator)
    steps = max(1, len(plan) // settings.epochs)
    rescaling = Rescaling(adaptive=settings.adaptive, steps_in_epoch=steps)
    training = IntegerTraining(
        layers=layers, rules=rules, weights=_weights(arrays), generator=generator, rescaling=rescaling
    )
    mu, loss_sum = settings.mu_in_round(server_round), 0.0
    for rows in plan:
        frozen, _, labels = take_batch([examples], [rows])
        logits = training.step(network.scaled(vary(frozen)), labels, mu=mu)
        loss_sum += float(F.cross_entropy(logits.floats(), labels))
    if shifts is not None:
        shifts.update(rescaling.histories)
    trained: dict[str, np.ndarray] = {name: weight.mantissa.numpy() for name, weight in training.weights.items()}
    trained[EXPONENTS] = np.asarray(arrays[EXPONENTS])
    return TrainingResult(arrays=trained, loss=loss_sum / len(plan), batches=len(plan))


def _weights(arrays: Mapping[str, np.ndarray]) -> dict[str, IntegerTensor]:
    names = [name for name in arrays if name != EXPONENTS]
    return {
        name: IntegerTensor(mantissa=torch.tensor(arrays[name]).clamp(min=-127), exponent=int(exponent))
        for name, exponent in zip(names, arrays[EXPONENTS], strict=True)
    }
