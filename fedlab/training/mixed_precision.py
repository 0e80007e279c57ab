"""Local training of a convolutional network in the formats of an algorithm (`fedlab.models.mixed_precision`)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlab.models.cnn.network import ConvNetwork
from fedlab.models.integer.rescaling import Rescaling
from fedlab.models.mixed_precision.algorithm import Algorithm
from fedlab.models.mixed_precision.emulated import EmulatedNetwork, compensation_arrays
from fedlab.models.mixed_precision.update import UpdateState, updated_arrays
from fedlab.models.quantised.fake_quantised import FormatState
from fedlab.training.finetune import Vary, as_they_are
from fedlab.training.local import LocalTraining, TrainingExamples, TrainingResult, batch_rows, take_batch


@dataclass(frozen=True, kw_only=True)
class FormatDraws:
    """What a client of mixed precision draws in a round: orders of batches, compensation, roundings with dropout."""

    batches: np.random.Generator
    compensation: np.random.Generator
    roundings: torch.Generator


def train_emulated(
    network: ConvNetwork,
    examples: TrainingExamples,
    arrays: Mapping[str, np.ndarray],
    batches: LocalTraining,
    algorithm: Algorithm,
    draws: FormatDraws,
    *,
    server_round: int,
    vary: Vary = as_they_are,
) -> TrainingResult:
    """Train a network of float32 arrays on the examples, by the algorithm's formats and its update rule.

    The learning rate is the algorithm's, with server rounds, counted from 0, in the place of epochs. What an update or
    a format remembers lasts for the round. So does compensation, which is drawn and trained in each round and not sent.

    Raises:
        UserError: the network has layers that emulated training cannot compute.
    """
    plan = batch_rows(len(examples.lengths), batches, draws.batches)
    formats = _format_state(len(plan) // batches.epochs, draws.roundings)
    layers = network.encoder.sizes.layers
    emulated = EmulatedNetwork(layers=layers, algorithm=algorithm, state=formats)
    state = _start(network, arrays, algorithm, draws)
    update, loss_sum = UpdateState(), 0.0
    examples = examples.on(network.device)
    for rows in plan:
        frozen, _, labels = take_batch([examples], [rows])
        gradients, loss = emulated.gradients_and_loss(state, network.scaled(vary(frozen)), labels)
        epoch = max(0, server_round - 1)
        state = updated_arrays(state, gradients, algorithm, epoch=epoch, update=update, formats=formats)
        formats.rescaling.step += 1
        loss_sum += loss
    trained = {name: state[name].cpu().numpy() for name in arrays}
    return TrainingResult(arrays=trained, loss=loss_sum / len(plan), batches=len(plan))


def _format_state(steps_in_epoch: int, draws: torch.Generator) -> FormatState:
    return FormatState(draws=draws, rescaling=Rescaling(adaptive=True, steps_in_epoch=max(1, steps_in_epoch)))


def _start(
    network: ConvNetwork, arrays: Mapping[str, np.ndarray], algorithm: Algorithm, draws: FormatDraws
) -> dict[str, Tensor]:
    sizes = network.encoder.sizes
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    state |= compensation_arrays(sizes.layers, algorithm, sizes.input_shape, draws.compensation)
    return {name: array.to(network.device) for name, array in state.items()}
