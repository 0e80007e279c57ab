"""A client that sends the gradient of one batch, by backpropagation: FedSGD (McMahan et al. 2017), step by step."""

from collections.abc import Sequence
from pathlib import Path

from flwr.clientapp import ClientApp

from clients.base import AcceptedSets
from clients.options import with_training_options
from clients.stepwise import StepClient, StepWork
from fedlab.gradients.estimators import Differences
from fedlab.messages.probes import StepOrder
from fedlab.messages.replies import TrainReport
from fedlab.models.peft.base import depth_and_width
from fedlab.training.local import LocalTraining
from fedlab.training.probes import Probing
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes


@with_training_options
def backprop(settings: LocalTraining, *, sets: Sequence[str] = (), base_folder: str = ".") -> ClientApp:
    """Return the client that sends gradients; of `fedlab.training.local.LocalTraining` it uses `batch_size` alone."""
    return BackpropClient(settings, AcceptedSets(trusted=sets, base=Path(base_folder)))


class BackpropClient(StepClient):
    """The ClientApp; its clients are measured side by side (`fedlab.messages.trains_together.TrainsTogether`)."""

    def _measure(self, order: StepOrder, work: StepWork) -> list[TrainReport]:
        network = work.workbench.network
        probing = Probing(
            network=network,
            at=work.trained.split_point(network.encoder.shape.blocks),
            layout=work.layout,
            differences=Differences(),
            distribution="gaussian",
        )
        gradients, losses = probing.gradients(work.centres, work.batches)
        return [
            work.report(client, work.gradient(gradient), "gradient", float(loss), self._workload(work, client))
            for client, (gradient, loss) in enumerate(zip(gradients, losses, strict=True))
        ]

    def _workload(self, work: StepWork, client: int) -> Workload:
        """Return one step: a forward pass through every block, and back through the trained ones."""
        workbench, settings = work.workbench, self._settings
        blocks = workbench.network.encoder.shape.blocks
        depth, size = depth_and_width(work.trained, blocks)
        passes = training_passes(
            batches=1,
            batch_size=settings.batch_size,
            input_shape=work.input_shape,
            model_blocks=blocks,
            depth=depth,
            trained=work.trained.spec if depth else bottleneck(size),
            checkpointing=settings.checkpointing,
            processor=settings.processor,
            scored_tokens=workbench.scored_tokens("train"),
            format=workbench.weights_format,
        )
        return Workload(passes=passes, num_examples=len(work.rows[client]))
