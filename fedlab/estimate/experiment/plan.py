"""From an experiment to a plan: how its clients would train, on how much, with messages of what size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlab.codecs.pipeline import Pipeline
from fedlab.config.builtins import TRAINS
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.estimate.exact import traffic_of, trained_shapes
from fedlab.estimate.experiment.dry_run import ExperimentPlan
from fedlab.estimate.experiment.examples import assume_batches, count_examples
from fedlab.estimate.experiment.work import PlannedWork
from fedlab.estimate.spec import EstimateMethod
from fedlab.models.sizes import read_sizes
from fedlab.server.factory import load_client, load_coding
from fedlab.training.local import LocalTraining

_KINDS: Mapping[str, EstimateMethod] = {"adapters": "adapter", "blocks": "freeze", "everything": "full"}


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
    load_client(experiment.client.name, experiment.client.options, Path(experiment.base_folder))
    sizes = read_sizes(experiment.backbone, resolve=experiment.path)
    work = _work(experiment, sizes.shape.blocks)
    if batches is None:
        holdings = count_examples(experiment)
    else:
        holdings = assume_batches(experiment, batches, work.batch_size, labels)
    down, up = _pipelines(experiment)
    shapes = trained_shapes(
        _KINDS[experiment.client.trained],
        sizes,
        holdings.labels,
        pooler=experiment.backbone.pooling == "pooler",
    )
    return ExperimentPlan(
        experiment=experiment,
        sizes=sizes,
        work=work,
        num_examples=holdings.num_examples,
        traffic=traffic_of(shapes, down, up),
    )


def _work(experiment: Experiment, model_blocks: int) -> PlannedWork:
    options: dict[str, Any] = dict(experiment.client.options)
    caches, cached_depths = bool(options.pop("cache", True)), int(options.pop("cached_depths", 1))
    settings = LocalTraining(**options)
    return PlannedWork(
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        max_batches=settings.max_batches,
        cached_depths=cached_depths if caches else 0,
        sequence_length=experiment.task.max_length,
        model_blocks=model_blocks,
    )


def _pipelines(experiment: Experiment) -> tuple[Pipeline | None, Pipeline | None]:
    """Return what messages down and up are encoded with."""
    coding = load_coding(experiment)
    if coding is None:
        return None, None
    table = experiment.codec
    return coding.down if table.down else None, coding.up if table.up else None
