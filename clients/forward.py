"""A client that trains without backpropagation: derivatives along random directions, from forward passes alone.

Source: "FwdLLM: Efficient Federated Finetuning of Large Language Models with Perturbed Inferences", USENIX ATC 2024
(https://arxiv.org/abs/2308.13894).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets
from clients.options import with_training_options
from clients.partition import batch_draws, examples_for, partition_of
from clients.stepwise import StepClient, StepWork
from fedlab.common.arrays import Arrays, in_dtypes_of
from fedlab.common.short_text import short
from fedlab.errors import UserError
from fedlab.gradients.directions import Distribution
from fedlab.gradients.estimators import Differences, Estimator, Scale
from fedlab.gradients.sums import Probed, weighted_sum
from fedlab.gradients.vectors import VectorLayout, flat, layout_of, named, size_of_layout
from fedlab.messages.clipping import clipped
from fedlab.messages.orders import Order, read_order
from fedlab.messages.probes import StepOrder
from fedlab.messages.replies import TrainReport
from fedlab.models.peft.base import TrainableSet, depth_and_width
from fedlab.training.local import LocalTraining, TrainingExamples, batch_rows, learning_rates, trainable
from fedlab.training.probes import Batches, Probe, Probing
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.passes import DEFAULT_PROCESSOR, FORMATS, Format
from fedlab.workload.workload import Workload, probing_passes

_MOST_PROBES = 100_000
DERIVATIVES = "derivatives"  # the array of a reply


@dataclass(frozen=True, kw_only=True)
class ForwardOptions:
    """What the device runs: on which processor, in which format, from stored activations or not; and its own probes.

    `probes` and `distribution` hold where the order does not say: where the client sends a gradient or a model.
    """

    differences: Differences
    probes: int
    distribution: Distribution
    cache: bool
    processor: str
    format: Format | None

    def __post_init__(self) -> None:
        """Check the options; raises UserError."""
        if type(self.probes) is not int or not 0 < self.probes <= _MOST_PROBES:
            raise UserError(
                f"client.options.probes: {short(self.probes)} is not a whole number from 1 to {_MOST_PROBES}"
            )
        if type(self.cache) is not bool:
            raise UserError(f"client.options.cache: {short(self.cache)} is not true or false")
        for key, accepted in (("distribution", get_args(Distribution)), ("format", (None, *FORMATS))):
            if getattr(self, key) not in accepted:
                names = ", ".join(each for each in accepted if each)
                raise UserError(f"client.options.{key}: {short(getattr(self, key))} is unknown; accepted: {names}")
        if not isinstance(self.processor, str) or not self.processor:
            raise UserError(f"client.options.processor: {short(self.processor)} is not a name")


@with_training_options
def forward(
    settings: LocalTraining,
    *,
    estimator: Estimator = "two-sided",
    h: float = 0.01,
    scale: Scale = "absolute",
    probes: int = 1,
    distribution: Distribution = "gaussian",
    cache: bool = False,
    processor: str = DEFAULT_PROCESSOR,
    format: Format | None = None,
    sets: Sequence[str] = (),
    base_folder: str = ".",
) -> ClientApp:
    """Return the client that trains by forward passes; `fedlab.training.local.LocalTraining` has `batch_size`.

    The derivatives of a batch's loss are estimated as `fedlab.gradients.estimators.Differences` says. What is sent back
    is what the strategy asks for: the derivatives along the directions that it names (fwdllm); a dense gradient, the
    mean over `probes` directions (fedsgd); or, where it names no step (fedavg), the model after plain descent with such
    gradients over its batches, with the learning rate and schedule of local training, as FedMeZO has it. With `cache`
    the device runs the frozen blocks once a batch and starts the other passes from the states there; FwdLLM runs all
    blocks in every pass. The work is billed for a `processor` and number `format` of the board, by default the format
    that the backbone has here.
    """
    options = ForwardOptions(
        differences=Differences(estimator=estimator, h=h, scale=scale),
        probes=probes,
        distribution=distribution,
        cache=cache,
        processor=processor,
        format=format,
    )
    return ForwardClient(settings, AcceptedSets(trusted=sets, base=Path(base_folder)), options)


class ForwardClient(StepClient):
    """The ClientApp; its clients are measured side by side (`fedlab.messages.trains_together.TrainsTogether`)."""

    def __init__(self, settings: LocalTraining, sets: AcceptedSets, options: ForwardOptions) -> None:
        super().__init__(settings, sets)
        self._options = options

    def _measure(self, order: StepOrder, work: StepWork) -> list[TrainReport]:
        """Return the derivatives along the directions of the order, or the gradient that the client's own give."""
        options = self._options
        asked = order if order.probes else replace(order, probes=options.probes, distribution=options.distribution)
        seeds = [asked.seeds(work.workbench.seed, partition) for partition in work.partitions]
        probes = [
            Probe(client=client, seed=seed, spans=asked.spans.get(work.partitions[client], ()))
            for client, own in enumerate(seeds)
            for seed in own
        ]
        probing = self._probing(work.workbench, work.trained, work.layout, asked.distribution)
        derivatives, losses = probing.derivatives(work.centres, work.batches, probes)
        owner = np.array([each.client for each in probes])
        return [
            self._report(order, work, client, seeds[client], derivatives[owner == client], losses[owner == client])
            for client in range(len(seeds))
        ]

    def _report(
        self,
        order: StepOrder,
        work: StepWork,
        client: int,
        seeds: Sequence[int],
        derivatives: np.ndarray,
        losses: np.ndarray,
    ) -> TrainReport:
        workload = self._workload(work, self._options.differences.passes(len(seeds)), len(work.rows[client]))
        loss = float(losses.mean())
        if order.probes:
            arrays = {DERIVATIVES: derivatives.astype(np.float32)}
            return work.report(client, arrays, "scalars", loss, workload)
        measured = [Probed(seed=seed, derivative=float(each)) for seed, each in zip(seeds, derivatives, strict=True)]
        total = weighted_sum(measured, size_of_layout(work.layout), self._options.distribution)
        return work.report(client, work.gradient(total / len(seeds)), "gradient", loss, workload)

    def _workload(self, work: StepWork, count: int, num_examples: int) -> Workload:
        """Return the work of one batch."""
        return self._probing_workload(work.workbench, work.trained, batches=1, passes=count, num_examples=num_examples)

    def _probing_workload(
        self, workbench: Workbench, trained: TrainableSet, *, batches: int, passes: int, num_examples: int
    ) -> Workload:
        """Return passes of some batches: all run every block, or all but one begin at the lowest trained block."""
        options, blocks = self._options, workbench.network.encoder.shape.blocks
        depth, _ = depth_and_width(trained, blocks)
        done = probing_passes(
            batches=batches,
            passes=passes,
            batch_size=self._settings.batch_size,
            input_shape=workbench.samples("train").input_shape,
            model_blocks=blocks,
            depth=depth,
            cached=options.cache,
            format=options.format or workbench.weights_format,
            processor=options.processor,
            scored_tokens=workbench.scored_tokens("train"),
        )
        return Workload(passes=done, num_examples=num_examples)

    def _local(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[TrainReport]:
        """Train by local steps, one client after the other, and answer models (FedMeZO, arXiv 2402.05926)."""
        order, workbench = read_order(messages[0]), open_workbench(contexts[0])
        trained = self._trained_set(order.configuration, workbench)
        reports = []
        for context in contexts:
            partition = partition_of(context)
            examples = examples_for(workbench, partition, trained)
            rows = batch_rows(len(examples.lengths), self._settings, batch_draws(workbench, order, partition))
            arrays, loss = self._walked(workbench, trained, order, examples, rows, partition)
            passes = self._options.differences.passes(self._options.probes)
            count = len(examples.lengths)
            work = self._probing_workload(workbench, trained, batches=len(rows), passes=passes, num_examples=count)
            report = TrainReport(arrays=arrays, num_examples=count, train_loss=loss, workload=work)
            reports.append(clipped(order, report))
        return reports

    def _walked(
        self,
        workbench: Workbench,
        trained: TrainableSet,
        order: Order,
        examples: TrainingExamples,
        batches: Sequence[np.ndarray],
        partition: int,
    ) -> tuple[Arrays, float]:
        """Return a model after a step for each batch, and the mean loss on the way."""
        start = trainable(order.arrays)
        layout, values, losses = layout_of(start), flat(start), []
        probing = self._probing(workbench, trained, layout, self._options.distribution)
        settings, steps = self._settings.in_round(order.server_round), torch.tensor([len(batches)])
        rates = [float(learning_rates(settings, step, steps)) for step in range(len(batches))]
        for step, rows in enumerate(batches):
            asked = StepOrder(step=order.server_round, cycle=step, probes=self._options.probes)
            seeds = asked.seeds(workbench.seed, partition)
            batch = Batches.of(workbench.network, [examples], [rows])
            probes = [Probe(client=0, seed=seed) for seed in seeds]
            derivatives, at = probing.derivatives([values], batch, probes)
            measured = [
                Probed(seed=seed, derivative=float(each)) for seed, each in zip(seeds, derivatives, strict=True)
            ]
            gradient = weighted_sum(measured, len(values), self._options.distribution) / len(seeds)
            values = (values - rates[step] * gradient).astype(np.float32)
            losses.append(float(at.mean()))
        moved = named(values, layout)
        return in_dtypes_of({name: moved[name] for name in order.arrays}, order.arrays), float(np.mean(losses))

    def _probing(
        self, workbench: Workbench, trained: TrainableSet, layout: VectorLayout, distribution: Distribution
    ) -> Probing:
        return Probing(
            network=workbench.network,
            at=trained.split_point(workbench.network.encoder.shape.blocks),
            layout=layout,
            differences=self._options.differences,
            distribution=distribution,
        )
