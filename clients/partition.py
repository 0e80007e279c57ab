"""A client's own partition: what it trains on, and how good a model is on it."""

import numpy as np
import torch
from flwr.app import Context, Message

from fedlab.common.spans import span
from fedlab.messages.node_config import read_node_config
from fedlab.messages.orders import read_order
from fedlab.messages.replies import EvaluateReport, evaluate_reply
from fedlab.models.peft.bottleneck import Cut, configuration_of, cut_of
from fedlab.training.evaluate import predict_frozen, score_labels
from fedlab.training.local import TrainingExamples
from fedlab.training.workbench import Workbench, open_workbench
from fedlab.workload.workload import Workload


def partition_of(context: Context) -> int:
    """Return the partition a client holds; raises UserError if its node does not say."""
    return read_node_config(context.node_config).partition


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
            inputs=workbench.network.inputs_at(cut),
        )


def answer_evaluate(message: Message, context: Context, batch_size: int) -> Message:
    """Answer an order to evaluate: score the model on the partition."""
    order = read_order(message)
    workbench = open_workbench(context)
    cut, config = cut_of(order.arrays), configuration_of(order.arrays)
    examples = examples_of(workbench, partition_of(context), cut)
    parameters = {name: torch.from_numpy(array) for name, array in order.arrays.items()}
    assert examples.places is not None, "a table has places"
    frozen = examples.frozen[examples.places]
    predictions = predict_frozen(workbench.network, frozen, examples.lengths, parameters, cut)
    count = len(examples.lengths)
    workload = Workload(
        method="evaluate",
        depth=config.depth,
        width=config.width,
        batches=-(-count // batch_size),
        cached_batches=0,
        batch_size=batch_size,
        sequence_length=workbench.tokens("train").input_ids.shape[1],
        num_examples=count,
    )
    accuracy = score_labels(workbench, examples.labels.numpy(), predictions)
    return evaluate_reply(message, EvaluateReport(num_examples=count, accuracy=accuracy, workload=workload))
