"""A client that trains whole blocks or networks on its own partition: full fine-tuning, and layer freezing."""

from collections.abc import Sequence
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.base import AcceptedSets, TrainingClient
from clients.options import with_training_options
from clients.partition import augmentation, batch_draws, dropout_seed, examples_for, partition_of
from fedlab.common.spans import span
from fedlab.messages.clipping import clipped
from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.models.peft.base import depth_and_width
from fedlab.training.finetune import finetune
from fedlab.training.local import LocalTraining
from fedlab.training.workbench import open_workbench
from fedlab.workload.passes import WHOLE
from fedlab.workload.workload import Workload, training_passes


@with_training_options
def full(settings: LocalTraining, *, sets: Sequence[str] = (), base_folder: str = ".") -> ClientApp:
    """Train whole blocks and the head: all of the model (`full`), or its top `client.depth` blocks (`freeze`).

    See `fedlab.training.local.LocalTraining` for the other options. What is trained is what the order says: a built-in
    set, or one of `sets`, which are found from `base_folder`. Transformers have no dropout, and the device stores no
    activations of its frozen blocks, as in the published baselines. A convolutional network is trained as a whole, from
    images that are augmented as the task says.
    """
    return FullClient(settings, AcceptedSets(trusted=sets, base=Path(base_folder)))


class FullClient(TrainingClient):
    """The ClientApp; its clients are trained one at a time."""

    split_kinds = frozenset({"inputs", "block_input", "features"})
    trains = "whole blocks"

    def _train(self, message: Message, context: Context) -> Message:
        order = read_order(message)
        settings = self._settings.in_round(order.server_round)
        workbench, partition = open_workbench(context), partition_of(context)
        trained = self._trained_set(order.configuration, workbench)
        examples, draws = (
            examples_for(workbench, partition, trained),
            batch_draws(workbench, order.server_round, partition),
        )
        with span("train"):
            result = finetune(
                workbench.network.drawing(dropout_seed(workbench, order.server_round, partition)),
                examples,
                order.arrays,
                settings,
                draws,
                proximal_mu=order.proximal_mu,
                vary=augmentation(workbench, order.server_round, partition),
            )
        blocks = workbench.network.encoder.shape.blocks
        depth, _ = depth_and_width(trained, blocks)
        passes = training_passes(
            batches=result.batches,
            batch_size=settings.batch_size,
            input_shape=workbench.samples("train").input_shape,
            model_blocks=blocks,
            depth=depth,
            trained=trained.spec if depth else WHOLE,  # of the head alone, as the layers are frozen
            checkpointing=settings.checkpointing,
            processor=settings.processor,
            scored_tokens=workbench.scored_tokens("train"),
            format=workbench.weights_format,
        )
        workload = Workload(passes=passes, num_examples=len(examples.lengths))
        report = TrainReport(
            arrays=result.arrays, num_examples=workload.num_examples, train_loss=result.loss, workload=workload
        )
        return train_reply(message, clipped(order, report))
