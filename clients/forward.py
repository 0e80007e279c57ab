"""A client that trains without backpropagation: derivatives along random directions, from forward passes alone.

Source: "FwdLLM: Efficient Federated Finetuning of Large Language Models with Perturbed Inferences", USENIX ATC 2024
(https://arxiv.org/abs/2308.13894).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets
from clients.options import with_training_options
from clients.partition import batch_draws, examples_for, partition_of
from clients.stepwise import StepClient, StepWork, model_of
from fedlab.common.arrays import in_dtypes_of
from fedlab.common.seeds import generator
from fedlab.common.short_text import short
from fedlab.errors import UserError
from fedlab.gradients.directions import Distribution
from fedlab.gradients.estimators import Differences, Estimator, Scale
from fedlab.gradients.sums import Probed, weighted_sum
from fedlab.gradients.vectors import VectorLayout, flat, layout_of, named, size_of_layout
from fedlab.messages.clipping import clipped
from fedlab.messages.orders import configuration_of, read_order, server_round_of
from fedlab.messages.probes import StepOrder, arrays_of
from fedlab.messages.replies import TrainReport
from fedlab.messages.seed_pool import PoolOrder, read_pool, sums_by_seed
from fedlab.models.peft.base import TrainableSet, depth_and_width
from fedlab.training.forward_descent import descend
from fedlab.training.local import LocalTraining, TrainingExamples, batch_rows, trainable
from fedlab.training.probes import Probe, Probing
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.passes import DEFAULT_PROCESSOR, FORMATS, Format
from fedlab.workload.workload import Workload, probing_passes

_MOST_PROBES = 100_000
DERIVATIVES, WALKED = "derivatives", "walked"  # the array of a reply


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
        return self._probing_workload(
            work.workbench,
            work.trained,
            batches=1,
            passes=count,
            num_examples=num_examples,
            values=size_of_layout(work.layout),
        )

    def _probing_workload(
        self,
        workbench: Workbench,
        trained: TrainableSet,
        *,
        batches: int,
        passes: int,
        num_examples: int,
        values: int,
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
            held_values=values,
        )
        return Workload(passes=done, num_examples=num_examples)

    def _local(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[TrainReport]:
        """Train by local steps, one client after the other.

        They answer models (FedMeZO, arXiv 2402.05926) or, where the order has a pool of seeds, how far they went along
        the direction of each (FedKSeed, arXiv 2312.06353).
        """
        pool = read_pool(messages[0])
        if pool is not None:
            return [
                self._along_pool(message, context, pool) for message, context in zip(messages, contexts, strict=True)
            ]
        order, workbench = read_order(messages[0]), open_workbench(contexts[0])
        trained = self._trained_set(order.configuration, workbench)
        start = trainable(order.arrays)
        probing = self._probing(workbench, trained, layout_of(start), self._options.distribution)
        reports = []
        for context in contexts:
            local = self._local_data(workbench, trained, context, order.server_round)
            seeds = [
                StepOrder(step=order.server_round, cycle=step, probes=self._options.probes).seeds(
                    workbench.seed, local.partition
                )
                for step in range(len(local.batches))
            ]
            settings = self._settings.in_round(order.server_round)
            way = descend(probing, flat(start), local.examples, local.batches, seeds, settings)
            moved = named(way.values, probing.layout)
            arrays = in_dtypes_of({name: moved[name] for name in order.arrays}, order.arrays)
            work = self._local_workload(workbench, trained, local, len(way.values))
            report = TrainReport(arrays=arrays, num_examples=local.count, train_loss=way.loss, workload=work)
            reports.append(clipped(order, report))
        return reports

    def _along_pool(self, message: Message, context: Context, pool: PoolOrder) -> TrainReport:
        """Train by local steps along directions of a pool, and answer how far they lead along each."""
        workbench, server_round = open_workbench(context), server_round_of(message)
        trained = self._trained_set(configuration_of(message), workbench)
        first = trainable(model_of(arrays_of(message), context, keeps=True))
        local = self._local_data(workbench, trained, context, server_round)
        every = pool.seeds(workbench.seed)
        draws = generator(workbench.seed, "pool-numbers", server_round, local.partition)
        numbers = [draws.integers(len(every), size=self._options.probes) for _ in local.batches]
        probing = self._probing(workbench, trained, layout_of(first), pool.distribution)
        model, seeds = pool.model(flat(first), workbench.seed), [[every[number] for number in each] for each in numbers]
        settings = self._settings.in_round(server_round)
        way = descend(probing, model, local.examples, local.batches, seeds, settings)
        return TrainReport(
            arrays={WALKED: sums_by_seed(np.concatenate(numbers), way.gone, len(every))},
            num_examples=local.count,
            train_loss=way.loss,
            workload=self._local_workload(workbench, trained, local, len(way.values)),
            kind="scalars",
        )

    def _local_data(
        self, workbench: Workbench, trained: TrainableSet, context: Context, server_round: int
    ) -> "_LocalData":
        partition = partition_of(context)
        examples = examples_for(workbench, partition, trained)
        draws = batch_draws(workbench, server_round, partition)
        batches = batch_rows(len(examples.lengths), self._settings, draws)
        return _LocalData(partition=partition, examples=examples, batches=batches)

    def _local_workload(
        self, workbench: Workbench, trained: TrainableSet, local: "_LocalData", values: int
    ) -> Workload:
        return self._probing_workload(
            workbench,
            trained,
            batches=len(local.batches),
            passes=self._options.differences.passes(self._options.probes),
            num_examples=local.count,
            values=values,
        )

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


@dataclass(frozen=True, kw_only=True)
class _LocalData:
    """What a client trains on by itself: its examples, and the rows of each batch."""

    partition: int
    examples: TrainingExamples
    batches: Sequence[np.ndarray]

    @property
    def count(self) -> int:
        return len(self.examples.lengths)
