"""From an experiment to a plan: how its clients would train, on how much, with messages of what size."""

from collections.abc import Mapping
from dataclasses import fields, replace
from inspect import signature
from typing import Any, cast

from fedlab.codecs.pipeline import Pipeline
from fedlab.config.builtins import CLIENTS, TRAINS
from fedlab.config.plugins import resolve
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.estimate.exact import Shapes, integer_traffic, traffic_of
from fedlab.estimate.experiment.dry_run import ExperimentPlan
from fedlab.estimate.experiment.examples import Holdings, assume_batches, count_examples
from fedlab.estimate.experiment.work import PlannedProbing, PlannedWork
from fedlab.gradients.estimators import Differences
from fedlab.models.cnn.sizes import ConvSizes, conv_sizes
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import GrowingSet, ModelSizes, TrainableSet, with_axes
from fedlab.models.peft.set_calls import shapes_of
from fedlab.models.sizes import read_sizes
from fedlab.server.assemble import Assembled, assemble, fit_to_partitions
from fedlab.server.bench import initial_set
from fedlab.server.requirements import trained_format
from fedlab.training.local import LocalTraining
from fedlab.workload.passes import format_of
from fedlab.workload.shape import AnyShape

_BY_FORMATS = ("integer", "mixed-precision")  # clients whose learning rate is not that of `LocalTraining`
_OF_BATCHES = ("batch_size", "epochs", "max_batches", "processor")


def plan_of(experiment: Experiment, *, batches: int | None, labels: int) -> ExperimentPlan:
    """Plan an experiment whose client is a built-in one.

    Without `batches`, the full batches a client has, the data are read and counted, and their labels with them. Texts
    are taken to fill `task.max_length`.

    Raises:
        UserError: what a client does is not known, or something the experiment names cannot be used.
    """
    if experiment.client.name not in TRAINS:
        raise UserError(
            f"client.name = '{experiment.client.name}': what a client of your own does is not known until it runs: "
            f"an estimate needs one of {', '.join(TRAINS)}"
        )
    assembled = assemble(experiment)
    if batches is None:
        holdings = count_examples(experiment)
    else:
        holdings = assume_batches(experiment, batches, _settings(experiment).batch_size, labels)
    sizes = _sizes(experiment, holdings)
    work = _work(experiment, sizes.shape, holdings)
    assembled = fit_to_partitions(assembled, len(holdings.num_examples))
    down, up = _pipelines(assembled)
    model = ModelSizes.of_task(
        sizes, labels=holdings.labels, kind=experiment.task.kind, pooling=experiment.backbone.pooling
    )
    if experiment.client.name == "forward":
        work = replace(work, probing=_probing(experiment.client.options, model))
    shapes = _shapes(experiment, model)
    integers = experiment.client.name == "integer"
    if integers and (down or up):
        raise UserError("codec: no estimate is made of codecs for the int8 messages of client.name = 'integer'")
    return ExperimentPlan(
        assembled=assembled,
        sizes=sizes,
        work=work,
        num_examples=holdings.num_examples,
        traffic=integer_traffic(shapes) if integers else traffic_of(shapes, down, up),
    )


def _sizes(experiment: Experiment, holdings: Holdings) -> EncoderSizes | ConvSizes:
    """Return the sizes of the backbone; those of a network for images depend on what clients hold."""
    if experiment.task.kind != "image":
        return read_sizes(experiment.backbone, resolve=experiment.path)
    if holdings.image_shape is None:
        raise UserError("task.image_shape is missing: --batches does not read images, whose size the work depends on")
    return conv_sizes(experiment.backbone, holdings.image_shape, holdings.labels, base=experiment.path("."))


def _shapes(experiment: Experiment, model: ModelSizes) -> Shapes:
    """Return which arrays are trained and sent at a depth and width, which only sets that grow change in a run."""
    first = initial_set(experiment, model.encoder.shape)
    if not isinstance(first, GrowingSet):
        return lambda depth, width: shapes_of(first, model)
    return lambda depth, width: shapes_of(_of_size(first, depth, max(1, width)), model)


def _of_size(first: GrowingSet, depth: int, size: int) -> TrainableSet:
    return cast("TrainableSet", with_axes(first, depth=depth, **{first.size_axis: size}))


def _settings(experiment: Experiment) -> LocalTraining:
    """Return how clients train; an option that is left out has the client's own default."""
    client = experiment.client
    parameters = signature(resolve(client.name, CLIENTS, experiment.path("."))).parameters
    names = [field.name for field in fields(LocalTraining) if client.name not in _BY_FORMATS]
    own = {name: parameters[name].default for name in _OF_BATCHES if name in parameters}
    given = {name: value for name, value in client.options.items() if name in (*names, *_OF_BATCHES)}
    return LocalTraining(**own | given)


def _work(experiment: Experiment, shape: AnyShape, holdings: Holdings) -> PlannedWork:
    options, settings = dict[str, Any](experiment.client.options), _settings(experiment)
    caches, cached_depths = bool(options.get("cache", True)), int(options.get("cached_depths", 1))
    return PlannedWork(
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        max_batches=settings.max_batches,
        checkpointing=settings.checkpointing,
        processor=settings.processor,
        cached_depths=cached_depths if caches else 0,
        input_shape=holdings.image_shape or (experiment.task.max_length,),
        model_blocks=shape.blocks,
        format=format_of(experiment.backbone.precision, is_decoder=shape.is_decoder),
        trained_format=trained_format(experiment) if experiment.client.name in _BY_FORMATS else None,
        # A head of labels needs no logits of tokens; of a language task, all tokens are taken to count.
        scored_tokens=0 if shape.is_decoder and not experiment.task.is_language else None,
    )


def _probing(options: Mapping[str, Any], model: ModelSizes) -> PlannedProbing:
    """Return how clients with these options probe; options that are left out have the client's own defaults."""
    own = {field.name for field in fields(Differences)}
    differences = Differences(**{name: value for name, value in options.items() if name in own})
    rest = {name: options[name] for name in ("probes", "processor", "format") if name in options}
    return PlannedProbing(differences=differences, sizes=model, cached=bool(options.get("cache", False)), **rest)


def _pipelines(assembled: Assembled) -> tuple[Pipeline | None, Pipeline | None]:
    """Return what messages down and up are encoded with."""
    coding, table = assembled.coding, assembled.experiment.codec
    if coding is None:
        return None, None
    return coding.down if table.down else None, coding.up if table.up else None
