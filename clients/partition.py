"""A client's own partition: what it trains on, and how good a model is on it."""

import numpy as np
import torch
from flwr.app import Context, Message

from fedlab.common.spans import span
from fedlab.messages.orders import read_order
from fedlab.messages.replies import EvaluateReport, evaluate_reply
from fedlab.models.peft.bottleneck import Cut, cut_of
from fedlab.training.bundle import Workbench, open_workbench
from fedlab.training.evaluate import predict_frozen, score_labels
from fedlab.training.local import TrainingExamples
from fedlab.workload.workload import Workload, forward_passes


def partition_of(context: Context) -> int:
    """Return the partition a client holds."""
    return int(context.node_config["partition-id"])


def examples_of(workbench: Workbench, partition_id: int, cut: Cut) -> TrainingExamples:
    """Return the texts of a partition, as a model that is cut there sees them."""
    rows = np.asarray(workbench.partitions[partition_id])
    tokens = workbench.tokens("train")
    with span("load"):
        table, places = workbench.activations.table(workbench.network, tokens, rows, split="train", cut=cut)
        return TrainingExamples(
            frozen=table,
            places=places,
            lengths=torch.from_numpy(tokens.lengths[rows]).long(),
            labels=torch.from_numpy(np.asarray(tokens.labels[rows])).long(),
        )


def answer_evaluate(message: Message, context: Context, batch_size: int) -> Message:
    """Answer an order to evaluate: score the model on the partition."""
    order = read_order(message)
    workbench = open_workbench(context.run_config, context.node_config)
    cut = cut_of(order.arrays)
    examples = examples_of(workbench, partition_of(context), cut)
    parameters = {name: torch.from_numpy(array) for name, array in order.arrays.items()}
    assert examples.places is not None, "a table has places"
    frozen = examples.frozen[examples.places]
    predictions = predict_frozen(workbench.network, frozen, examples.lengths, parameters, cut)
    count = len(examples.lengths)
    passes = forward_passes(
        batches=-(-count // batch_size),
        batch_size=batch_size,
        input_shape=(workbench.tokens("train").input_ids.shape[1],),
        model_blocks=workbench.network.encoder.shape.blocks,
    )
    workload = Workload(passes=passes, num_examples=count)
    accuracy = score_labels(workbench, examples.labels.numpy(), predictions)
    return evaluate_reply(message, EvaluateReport(num_examples=count, accuracy=accuracy, workload=workload))
