"""What the server must know of the model and the data, and the first model of a run."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fedlab.codecs.transport.reference import Reference, nothing, reference_arrays
from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.config.schema import Experiment
from fedlab.config.task_table import SCORES
from fedlab.data.metrics import Score
from fedlab.errors import UserError
from fedlab.models.base import weights_of
from fedlab.models.cnn.network import ConvNetwork
from fedlab.models.cnn.sizes import ConvSizes
from fedlab.models.export.conv_network import save_network
from fedlab.models.export.final_model import export_model
from fedlab.models.load import encoder_of
from fedlab.models.peft.base import BackboneWeights, ModelSizes, SplitPoint, TrainableSet
from fedlab.models.peft.lora import Lora
from fedlab.models.peft.set_calls import initial_of, split_point_of
from fedlab.models.quantised.named_weights import QUANTISED
from fedlab.models.sizes import model_type_of
from fedlab.models.split_model import SplitModel
from fedlab.server.context import ClientScores, Measure
from fedlab.server.example_limits import Sizes, unknown_sizes
from fedlab.server.factory import load_set, set_named
from fedlab.training.bundle import pretrained_of
from fedlab.training.workbench import Split, Workbench
from fedlab.training.write import samples
from fedlab.workload.conv_shape import ConvShape
from fedlab.workload.shape import AnyShape
from fedlab.workload.workload import Configuration

_WITHOUT_NORMS = ("forward", "backprop", "integer", "mixed-precision")  # clients that compute no batch norms


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the server must know of model and data.

    `pretrained` returns the published weights of the backbone, for those that are trained; models are sent as
    differences to `reference`; `export` saves the final model in a library's format; `partition_sizes` returns how many
    examples a partition has; `client_scores` returns the scores on those of each client, where the server has them;
    `samples` lets a language model continue a few texts, and is None for others.
    """

    sizes: ModelSizes
    measure: Measure
    export: Callable[[Arrays, TrainableSet, Path], None]
    pretrained: BackboneWeights
    reference: Reference = nothing
    samples: Callable[[Arrays, Configuration], list[dict[str, str]]] | None = None
    partition_sizes: Sizes = unknown_sizes
    client_scores: ClientScores | None = None

    @property
    def shape(self) -> AnyShape:
        """Return the sizes that costs depend on."""
        return self.sizes.encoder.shape


def bench_of(
    experiment: Experiment,
    workbench: Workbench,
    measure: Callable[[Arrays, Split, SplitPoint], float],
    measure_clients: Callable[[Arrays, SplitPoint], np.ndarray] | None = None,
) -> Bench:
    """Return what the server must know of the model and the data on a workbench.

    `measure` returns the score of a model that is split at a point, on a split of the data, and `measure_clients` those
    on the training examples of each client; None where the server does not have these.
    """
    sizes = _drawn_as_said(workbench.network.sizes(len(workbench.label_names)), experiment)

    def split_of(configuration: Configuration) -> SplitPoint:
        return set_named(experiment, configuration).split_point(sizes.blocks)

    def measure_configured(arrays: Arrays, split: Split, configuration: Configuration) -> float:
        return _as_named(experiment, measure(arrays, split, split_of(configuration)))

    def score_clients(arrays: Arrays, configuration: Configuration) -> np.ndarray:
        assert measure_clients is not None
        return measure_clients(arrays, split_of(configuration))

    def write_samples(arrays: Arrays, configuration: Configuration) -> list[dict[str, str]]:
        return samples(workbench, arrays, split_of(configuration))

    return Bench(
        sizes=sizes,
        measure=measure_configured,
        partition_sizes=lambda partition_id: len(workbench.partitions[partition_id]),
        export=partial(_export, experiment, workbench),
        pretrained=partial(pretrained_arrays, experiment, workbench.network),
        reference=partial(reference_arrays, workbench.network),
        samples=write_samples if workbench.task.language is not None else None,
        client_scores=None if measure_clients is None else score_clients,
    )


def _as_named(experiment: Experiment, score: float) -> float:
    """Return a score by the measure that the experiment names."""
    table = experiment.task
    return score.by(table.scored_by, SCORES[table.kind][0]) if isinstance(score, Score) else score


def _export(experiment: Experiment, workbench: Workbench, arrays: Arrays, trained: TrainableSet, folder: Path) -> None:
    if isinstance(workbench.network, ConvNetwork):
        save_network(arrays, workbench.network, workbench.label_names, folder)
        return
    export_model(
        arrays,
        trained,
        folder,
        pretrained=partial(pretrained_of, experiment),
        model_type=model_type_of(experiment.backbone, resolve=experiment.path),
        network=workbench.transformer,
        label_names=workbench.label_names,
    )


def _drawn_as_said(sizes: ModelSizes, experiment: Experiment) -> ModelSizes:
    """Return sizes whose first network is drawn as an experiment says, which workbenches do not know."""
    if not isinstance(sizes.encoder, ConvSizes):
        return sizes
    return replace(sizes, encoder=replace(sizes.encoder, drawn_from=experiment.backbone.initial))


def initial_set(experiment: Experiment, shape: AnyShape) -> TrainableSet:
    """Return the trainable set of the first model.

    Raises:
        UserError: there is no such set, it does not take its axes, it is deeper than the encoder, or it trains blocks
            whole whose weights are quantised.
    """
    first = load_set(experiment)
    if first.configuration.get("depth") == experiment.client.depth > shape.blocks:
        raise UserError(f"client.depth = {experiment.client.depth}: the encoder has {shape.blocks} blocks")
    at = split_point_of(first, shape.blocks)
    if experiment.backbone.precision in QUANTISED and first.spec.kind == "whole" and at.block < shape.blocks:
        raise UserError(
            f"backbone.precision = '{experiment.backbone.precision}': client.trains = '{experiment.client.trained}'"
            " trains blocks whole, and quantised weights are never trained; accepted: fp32 or bf16, or a set that"
            " leaves the matrices of blocks frozen, such as lora, bottleneck, bias or head"
        )
    if at.kind != "inputs" and experiment.task.kind == "image":
        raise UserError(
            f"client.trains = '{experiment.client.trained}': '{experiment.backbone.name}' is trained whole, from its"
            " inputs on; accepted: everything"
        )
    if isinstance(shape, ConvShape) and experiment.client.name in _WITHOUT_NORMS and _has_norms(shape):
        raise UserError(
            f"client.name = '{experiment.client.name}': '{experiment.backbone.name}' has batch norms, whose means and"
            " variances only the client 'full' measures; accepted: a network without them, such as lenet or vgg11"
        )
    if at.kind == "features" and experiment.task.is_language:
        raise UserError(
            f"client.trains = '{experiment.client.trained}', client.depth = {experiment.client.depth}: nothing is"
            f" trained, as kind {experiment.task.kind} has no head of its own: set client.trains = 'lora' and"
            " client.depth"
        )
    return first


def _has_norms(shape: ConvShape) -> bool:
    return any(layer.kind == "norm" for layer in shape.layers)


def first_model(experiment: Experiment, bench: Bench) -> Arrays:
    """Return the arrays a run starts from: what is new is drawn, weights of the backbone start as published."""
    first, draws = initial_set(experiment, bench.shape), generator(experiment.seed, "initial")
    arrays = initial_of(first, bench.sizes, draws, bench.pretrained)
    return arrays if experiment.client.start is None else _started(experiment, bench, first, arrays)


def _started(experiment: Experiment, bench: Bench, first: TrainableSet, new: Arrays) -> Arrays:
    """Return the arrays of a saved adapter, grown to the experiment's set where that is larger, over new ones.

    Raises:
        UserError: there is no such adapter, or it is larger than the experiment's set.
    """
    # Imported here: read by few runs.
    from fedlab.models.export.peft_library import read_lora  # noqa: PLC0415

    start = str(experiment.client.start)
    saved, arrays = read_lora(experiment.path(start), bench.sizes, f"client.start = '{start}'")
    assert isinstance(first, Lora), "a start of other sets is refused"
    if saved.depth > first.depth or saved.rank > first.rank or not set(saved.roles) <= set(first.roles):
        raise UserError(
            f"client.start = '{start}': it has pairs of rank {saved.rank} beside {','.join(saved.roles)} in "
            f"{saved.depth} blocks; the experiment must have at least these (client.depth, client.axes)"
        )
    draws = generator(experiment.seed, "start")
    return new | saved.grow(arrays, first, sizes=bench.sizes, generator=draws)


def pretrained_arrays(experiment: Experiment, network: SplitModel, names: Collection[str]) -> Arrays:
    """Return those of the named arrays that are weights of the backbone.

    They are those of the encoder as it was published, also where the frozen ones are kept in less precision.
    """
    encoder = network.encoder
    if encoder.dtype != torch.float32:
        encoder = encoder_of(pretrained_of(experiment).model)
    return weights_of(encoder, names)
