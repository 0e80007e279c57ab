"""A client's own partition: what it trains on, and how good a model is on it."""

from collections.abc import Callable

import numpy as np
import torch
from flwr.app import Context, Message

from fedlab.common.seeds import generator, seed_for
from fedlab.common.spans import span
from fedlab.data.pixel_scaling import augmented
from fedlab.messages.node_config import read_node_config
from fedlab.messages.orders import read_order
from fedlab.messages.replies import EvaluateReport, evaluate_reply
from fedlab.models.peft.base import SplitPoint, TrainableSet
from fedlab.training.evaluate import predict_rows, score_rows
from fedlab.training.finetune import Vary, as_they_are
from fedlab.training.local import TrainingExamples
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.passes import WHOLE, Format
from fedlab.workload.workload import Configuration, Workload, forward_passes, training_passes


def partition_of(context: Context) -> int:
    """Return the partition a client holds; raises UserError if its node does not say."""
    return read_node_config(context.node_config).partition


def examples_of(workbench: Workbench, partition_id: int, at: SplitPoint, *, grows: bool = True) -> TrainingExamples:
    """Return the texts of a partition, as a model that is split there sees them; `grows` as of the activation store."""
    rows = np.asarray(workbench.partitions[partition_id])
    samples = workbench.samples("train")
    with span("load"):
        store, network = workbench.activations, workbench.network
        table, places = store.table(network, samples, rows, split="train", at=at, grows=grows)
        return TrainingExamples(
            at=at,
            frozen=table,
            places=places,
            lengths=torch.from_numpy(samples.lengths[rows]).long(),
            labels=torch.from_numpy(np.asarray(samples.labels[rows])).long(),
            inputs=workbench.network.encoder.inputs,
        )


def examples_for(
    workbench: Workbench, partition_id: int, trained: TrainableSet, *, grows: bool = True
) -> TrainingExamples:
    """Return the texts of a partition, as a model of which this set is trained sees them; see `examples_of`."""
    at = trained.split_point(workbench.network.encoder.shape.blocks)
    return examples_of(workbench, partition_id, at, grows=grows)


def batch_draws(workbench: Workbench, server_round: int, partition_id: int) -> np.random.Generator:
    """Return what the order of a client's batches in a round is drawn from."""
    return generator(workbench.seed, "batches", server_round, partition_id)


def augmentation(workbench: Workbench, server_round: int, partition_id: int) -> Vary:
    """Return what varies a client's batches of images in a round, as its task says; of texts nothing does."""
    terms = workbench.task.images
    if terms is None or not (terms.crops or terms.flips):
        return as_they_are
    draws = generator(workbench.seed, "augmentation", server_round, partition_id)
    return lambda pixels: torch.from_numpy(augmented(pixels.cpu().numpy(), terms, draws)).to(pixels.device)


def dropout_seed(workbench: Workbench, server_round: int, partition_id: int) -> int:
    """Return what a client's dropout in a round is drawn by."""
    return seed_for(workbench.seed, "dropout", server_round, partition_id)


def whole_network_workload(
    workbench: Workbench, batches: int, num_examples: int, *, batch_size: int, format: Format, processor: str
) -> Workload:
    """Return the work of training all blocks of a network in one number format on one processor."""
    blocks = workbench.network.encoder.shape.blocks
    passes = training_passes(
        batches=batches,
        batch_size=batch_size,
        input_shape=workbench.samples("train").input_shape,
        model_blocks=blocks,
        depth=blocks,
        trained=WHOLE,
        format=format,
        processor=processor,
    )
    return Workload(passes=passes, num_examples=num_examples)


def answer_evaluate(
    message: Message, context: Context, batch_size: int, named: Callable[[Configuration], TrainableSet]
) -> Message:
    """Answer an order to evaluate: score the model on the partition; `named` makes the set that the order names."""
    order = read_order(message)
    workbench = open_workbench(context)
    trained = named(order.configuration)
    partition = partition_of(context)
    examples = examples_for(workbench, partition, trained)
    parameters = {name: torch.tensor(array) for name, array in order.arrays.items()}  # copies: they are read-only
    assert examples.places is not None, "a table has places"
    frozen = examples.frozen[examples.places]
    rows = np.asarray(workbench.partitions[partition])
    predictions = predict_rows(workbench, "train", rows, frozen, parameters, examples.at)
    count = len(examples.lengths)
    passes = forward_passes(
        batches=-(-count // batch_size),
        batch_size=batch_size,
        input_shape=workbench.samples("train").input_shape,
        model_blocks=workbench.network.encoder.shape.blocks,
        scored_tokens=workbench.scored_tokens("train"),
        format=workbench.weights_format,
    )
    workload = Workload(passes=passes, num_examples=count)
    accuracy = float(score_rows(workbench, "train", rows, predictions))
    return evaluate_reply(message, EvaluateReport(num_examples=count, accuracy=accuracy, workload=workload))
