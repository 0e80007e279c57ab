"""What the server must know of the model and the data, and the first model of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from fedlab.codecs.transport.reference import Reference, nothing, reference_arrays
from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.models.export.final_model import export_model
from fedlab.models.load import encoder_of
from fedlab.models.peft.bottleneck import initial_arrays
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.peft.whole_blocks import whole_arrays
from fedlab.models.split import Network
from fedlab.server.context import Measure
from fedlab.training.bundle import pretrained_of
from fedlab.training.workbench import Workbench
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the server must know of model and data.

    `pretrained` returns the published weights of the top blocks, as many as it is given, to be trained whole; models
    are sent as differences to `reference`; `export` saves the final model in a library's format.
    """

    shape: ModelShape
    labels: int
    measure: Measure
    export: Callable[[Arrays, AdapterConfig, Path], None]
    pretrained: Callable[[int], Arrays]
    reference: Reference = nothing


def bench_of(experiment: Experiment, workbench: Workbench, measure: Measure) -> Bench:
    """Return what the server must know of the model and the data on a workbench."""

    def export(arrays: Arrays, config: AdapterConfig, folder: Path) -> None:
        network, labels = workbench.network, workbench.label_names
        loaded = pretrained_of(experiment)
        export_model(arrays, config, folder, pretrained=loaded, network=network, label_names=labels)

    return Bench(
        shape=workbench.network.encoder.shape,
        labels=len(workbench.label_names),
        measure=measure,
        export=export,
        pretrained=partial(pretrained_arrays, experiment, workbench.network),
        reference=partial(reference_arrays, workbench.network),
    )


def initial_configuration(experiment: Experiment, shape: ModelShape) -> AdapterConfig:
    """Return the configuration of the first model; where whole blocks are trained its width is 1.

    Raises:
        UserError: it is deeper than the encoder.
    """
    if experiment.client.trained == "everything":
        return AdapterConfig(depth=shape.blocks, width=1)
    if experiment.client.depth > shape.blocks:
        raise UserError(f"client.depth = {experiment.client.depth}: the encoder has {shape.blocks} blocks")
    width = experiment.client.width if experiment.client.trained == "adapters" else 1
    return AdapterConfig(depth=experiment.client.depth, width=width)


def first_model(experiment: Experiment, bench: Bench) -> Arrays:
    """Return the arrays a run starts from: what is new is drawn, blocks trained whole start as published."""
    config, shape = initial_configuration(experiment, bench.shape), bench.shape
    whole = experiment.client.trained != "adapters"
    drawn = initial_arrays(
        AdapterConfig(depth=0, width=1) if whole else config,
        blocks=shape.blocks,
        hidden=shape.hidden,
        labels=bench.labels,
        generator=generator(experiment.seed, "initial"),
    )
    return (bench.pretrained(config.depth) if whole else {}) | drawn


def pretrained_arrays(experiment: Experiment, network: Network, depth: int) -> Arrays:
    """Return the pretrained weights that training the top `depth` blocks whole begins with.

    They are those of the encoder as it was published, also where the frozen ones are kept in less precision.
    """
    encoder = network.encoder
    if encoder.dtype != torch.float32:
        encoder = encoder_of(pretrained_of(experiment).model)
    return whole_arrays(encoder, depth, pooler=network.pooling == "pooler" and network.kind == "classification")
