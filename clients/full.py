"""A client that trains whole blocks on its own partition: full fine-tuning, and layer freezing."""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.partition import answer_evaluate, examples_of, partition_of
from fedlab.common.seeds import generator
from fedlab.common.spans import span
from fedlab.errors import UserError
from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, query_reply, train_reply
from fedlab.models.peft.bottleneck import configuration_of, cut_of, method_of
from fedlab.training.bundle import open_workbench
from fedlab.training.finetune import finetune
from fedlab.training.local import LocalTraining
from fedlab.workload.passes import WHOLE
from fedlab.workload.workload import Workload, training_passes


def full(
    *,
    optimizer: str = "sgd",
    learning_rate: float = 0.1,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    schedule: str = "linear",
    clip_norm: float | None = 1.0,
    batch_size: int = 4,
    epochs: int = 1,
    max_batches: int | None = None,
) -> ClientApp:
    """Train whole blocks and the head: all of the model (`full`), or its top `client.depth` blocks (`freeze`).

    See `fedlab.training.local.LocalTraining` for the options. What is trained is what the server sends. There is no
    dropout, and the device stores no activations of its frozen blocks, as in the published baselines.
    """
    settings, app = LocalTraining(**locals()), ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return train_reply(message, _trained(message, context, settings))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return answer_evaluate(message, context, settings.batch_size)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return query_reply(message, partition_of(context))

    return app


def _trained(message: Message, context: Context, settings: LocalTraining) -> TrainReport:
    order = read_order(message)
    config, method = configuration_of(order.arrays), method_of(order.arrays)
    if method == "adapter" and config.depth:
        raise UserError("the arrays hold adapters, and this client trains whole blocks; see client.trains")
    workbench, partition = open_workbench(context.run_config, context.node_config), partition_of(context)
    examples = examples_of(workbench, partition, cut_of(order.arrays))
    draws = generator(workbench.seed, "batches", order.server_round, partition)
    with span("train"):
        result = finetune(workbench.network, examples, order.arrays, settings, draws, proximal_mu=order.proximal_mu)
    passes = training_passes(
        batches=result.batches,
        batch_size=settings.batch_size,
        input_shape=(workbench.tokens("train").input_ids.shape[1],),
        model_blocks=workbench.network.encoder.shape.blocks,
        depth=config.depth,
        trained=WHOLE,
    )
    workload = Workload(passes=passes, num_examples=len(examples.lengths))
    return TrainReport(
        arrays=result.arrays, num_examples=workload.num_examples, train_loss=result.loss, workload=workload
    )
