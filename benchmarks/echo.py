"""A client that does nothing: it returns the arrays unchanged and reports one batch."""

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedlab.messages.orders import read_order
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.workload.workload import Workload

client = ClientApp()


@client.train()
def _train(message: Message, context: Context) -> Message:
    workload = Workload(
        method="adapter",
        depth=2,
        width=8,
        batches=1,
        cached_batches=0,
        batch_size=4,
        sequence_length=64,
        num_examples=4,
    )
    arrays = read_order(message).arrays
    return train_reply(message, TrainReport(arrays=arrays, num_examples=4, train_loss=0.0, workload=workload))
