"""The only place that knows the keys of records: what server and clients say to each other, packed and unpacked.

| message      | record             | holds                                                          |
|--------------|--------------------|----------------------------------------------------------------|
| train        | `arrays`           | the model to start from, as `fedlab.models.arrays` describes   |
|              | `config`           | `server-round`; AdaFL adds `group`, FedProx `proximal-mu`      |
| its reply    | `arrays`           | the trained arrays                                             |
|              | `metrics`          | `num-examples` and `train-loss`                                |
|              | `workload`         | what the client did (`fedlab.workload.Workload`)               |
| evaluate     | `arrays`, `config` | as train                                                       |
| its reply    | `metrics`          | `num-examples`, `eval-accuracy`; and `workload`                |
| query        | nothing            |                                                                |
| its reply    | `client`           | `partition-id`                                                 |

On the server a timed grid adds `cost` to replies (`fedlab.workload.Cost`). Workload and cost are config records
because Flower's own strategies insist on exactly one metric record.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.models.arrays import Arrays
from fedlab.workload import Cost, Workload

NUM_EXAMPLES = "num-examples"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the server asks of a client: train or evaluate these arrays."""

    arrays: Arrays
    server_round: int
    group: str = ""
    proximal_mu: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a client answers to an order to train."""

    arrays: Arrays
    num_examples: int
    train_loss: float
    workload: Workload


@dataclass(frozen=True, kw_only=True)
class EvaluateReport:
    """What a client answers to an order to evaluate."""

    num_examples: int
    accuracy: float
    workload: Workload


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Pack named arrays."""
    return ArrayRecord({name: Array(np.ascontiguousarray(array)) for name, array in arrays.items()})


def from_record(record: ArrayRecord) -> Arrays:
    """Unpack named arrays; those of Flower's strategies that compute in double precision become float32 again."""
    return {name: array.numpy().astype(np.float32, copy=False) for name, array in record.items()}


def order_content(arrays: ArrayRecord, *, server_round: int, group: str = "") -> RecordDict:
    """Return the content of an order; messages to several clients share it."""
    config = ConfigRecord({"server-round": server_round, "group": group})
    return RecordDict({"arrays": arrays, "config": config})


def read_order(message: Message) -> Order:
    """Unpack an order, of our strategies or of Flower's own."""
    config = message.content.config_records.get("config", ConfigRecord())
    return Order(
        arrays=from_record(message.content.array_records["arrays"]),
        server_round=server_round_of(message),
        group=str(config.get("group", "")),
        proximal_mu=_number(config.get("proximal-mu", 0.0)),
    )


def group_of(message: Message) -> str:
    """Return the group an order names, empty if none, without unpacking its arrays."""
    config = message.content.config_records.get("config", ConfigRecord())
    return str(config.get("group", ""))


def server_round_of(message: Message) -> int:
    """Return the round an order belongs to, 0 if it does not say."""
    config = message.content.config_records.get("config", ConfigRecord())
    return int(_number(config.get("server-round", 0)))


def train_reply(order: Message, report: TrainReport) -> Message:
    """Return the client's reply to an order to train."""
    metrics = MetricRecord({NUM_EXAMPLES: report.num_examples, "train-loss": report.train_loss})
    workload = workload_record(report.workload)
    content = RecordDict({"arrays": to_record(report.arrays), "metrics": metrics, "workload": workload})
    return Message(content, reply_to=order)


def evaluate_reply(order: Message, report: EvaluateReport) -> Message:
    """Return the client's reply to an order to evaluate."""
    metrics = MetricRecord({NUM_EXAMPLES: report.num_examples, "eval-accuracy": report.accuracy})
    return Message(RecordDict({"metrics": metrics, "workload": workload_record(report.workload)}), reply_to=order)


def workload_record(workload: Workload) -> ConfigRecord:
    """Pack a workload; a custom client puts it into its reply under the key `workload`."""
    return ConfigRecord(asdict(workload))


def read_workload(reply: Message) -> Workload | None:
    """Return the workload a client reported, None if it did not."""
    record = reply.content.config_records.get("workload")
    return None if record is None else Workload(**record)  # type: ignore[arg-type]


def read_train_loss(reply: Message) -> float | None:
    """Return the training loss a client reported, None if it did not."""
    for metrics in reply.content.metric_records.values():
        loss = metrics.get("train-loss")
        if isinstance(loss, int | float):
            return float(loss)
    return None


def add_cost(reply: Message, cost: Cost) -> None:
    """Write on a reply what it cost."""
    reply.content["cost"] = ConfigRecord(asdict(cost))


def read_cost(reply: Message) -> Cost:
    """Return what a reply cost; every reply that came through a timed grid says it."""
    return Cost(**reply.content.config_records["cost"])  # type: ignore[arg-type]


def query_message(node_id: int) -> Message:
    """Return the question which partition a node holds."""
    return Message(RecordDict(), node_id, MessageType.QUERY)


def query_reply(query: Message, partition_id: int) -> Message:
    """Return the answer to it."""
    return Message(RecordDict({"client": ConfigRecord({"partition-id": partition_id})}), reply_to=query)


def read_query_reply(reply: Message) -> int:
    """Return the partition a node says it holds."""
    return int(_number(reply.content.config_records["client"]["partition-id"]))


def _number(value: object) -> float:
    assert isinstance(value, int | float), f"expected a number, got {value!r}"
    return value
