"""The only place that knows the keys of records: what server and clients say to each other, packed and unpacked.

| message      | record             | holds                                                          |
|--------------|--------------------|----------------------------------------------------------------|
| train        | `arrays`           | the model to start from, as `fedlab.models.peft.bottleneck` describes   |
|              | `config`           | `server-round`; AdaFL adds `group`, FedProx `proximal-mu`, and |
|              |                    | strategies that do not wait for all `deadline-seconds`,        |
|              |                    | `wait-for`, `late` (`fedlab.messages.round_terms.RoundTerms`)     |
| its reply    | `arrays`           | the trained arrays                                             |
|              | `metrics`          | `num-examples` and `train-loss`                                |
|              | `workload`         | what the client did (`fedlab.workload.workload.Workload`)               |
| evaluate     | `arrays`, `config` | as train                                                       |
| its reply    | `metrics`          | `num-examples`, `eval-accuracy`; and `workload`                |
| either, with | `codec`            | `terms` (`fedlab.codecs.spec`), and the `ticket` to put into  |
| a codec      |                    | an encoded reply, under the same key                           |
| `PREFILL`    | `config`           | `server-round`, `group`, and the `depth` to fill caches for    |
| its reply    | `workload`         | as above                                                       |
| query        | nothing            |                                                                |
| its reply    | `client`           | `partition-id`                                                 |
| any reply of | `measures`         | what a real client measured (`fedlab.messages.measurements`); to a query,   |
| a real node  |                    | the `board` it runs on, and of how many `parts` of the data it |
|              |                    | holds one, if it has none of its own                           |

On the server a timed grid adds `cost` to replies (`fedlab.workload.workload.Cost`). Workload and cost are config
records because Flower's own strategies insist on exactly one metric record.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.messages.codec_terms import CodecTerms
from fedlab.messages.measurements import Measures, from_fields, to_fields
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.workload import Cost, Workload

NUM_EXAMPLES = "num-examples"
PREFILL = f"{MessageType.QUERY}.prefill"  # asks to fill the activation cache
_CODEC = "codec"
_STYPE = "numpy.ndarray"  # how Flower calls arrays whose data are a .npy file
Record = TypeVar("Record", ArrayRecord, MetricRecord, ConfigRecord)
_NPY_PREFIX = 10  # bytes before the header of a .npy file of version 1: magic, version, the header's length


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the server asks of a client: train or evaluate these arrays."""

    arrays: Arrays
    server_round: int
    group: str = ""
    proximal_mu: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CodecOrder:
    """How an order is encoded and its reply is to be; without a ticket the reply is not to be encoded.

    The ticket says which order a reply answers, whose arrays the update is a difference to.
    """

    terms: CodecTerms
    ticket: str = ""


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


def records_of(content: RecordDict, kind: type[Record]) -> dict[str, Record]:
    """Return the records of one kind, as the properties of `RecordDict` do, which make copies that are kept in step."""
    return {key: record for key, record in content.items() if isinstance(record, kind)}


def to_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Pack named arrays."""
    record = ArrayRecord()
    for name, array in arrays.items():  # a record made of a dictionary would make every array anew
        record[name] = _packed(np.ascontiguousarray(array))
    return record


def _packed(array: np.ndarray) -> Array:
    """Return what `Array(array)` does, in a third of the time where the array is small."""
    dtype, header = _dtype_and_header(array.dtype, array.shape)
    return Array(dtype, array.shape, _STYPE, header + array.tobytes())


@functools.lru_cache(maxsize=4096)
def _dtype_and_header(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[str, bytes]:
    """Return what Flower calls a type, and what it writes before the values of an array of this type and shape."""
    values = np.empty(shape, dtype)
    packed = Array(values)
    return packed.dtype, packed.data[: len(packed.data) - values.nbytes]


def from_record(record: ArrayRecord) -> Arrays:
    """Unpack named arrays; those of Flower's strategies that compute in double precision become float32 again."""
    return {name: values_of(array).astype(np.float32, copy=False) for name, array in record.items()}


def values_of(array: Array) -> np.ndarray:
    """Return what `array.numpy()` does, in a tenth of the time where the array is small.

    An array's data are a .npy file. Reading its header is most of the work for small ones, and all it says is known.
    """
    data = array.data
    end = _NPY_PREFIX + int.from_bytes(data[_NPY_PREFIX - 2 : _NPY_PREFIX], "little")
    plain = data[6:7] == b"\x01" and b"'fortran_order': False" in data[:end] and array.stype == _STYPE
    if not plain:
        return array.numpy()
    return np.frombuffer(data, np.dtype(array.dtype), offset=end).reshape(array.shape).copy()


def order_content(
    arrays: ArrayRecord, *, server_round: int, group: str = "", terms: RoundTerms | None = None
) -> RecordDict:
    """Return the content of an order; messages to several clients share it."""
    config = ConfigRecord({"server-round": server_round, "group": group})
    if terms is not None and terms.deadline_seconds is not None:
        config["deadline-seconds"] = terms.deadline_seconds
    if terms is not None and terms.wait_for is not None:
        config["wait-for"] = terms.wait_for
    if terms is not None and terms.late == "carry":
        config["late"] = terms.late
    return RecordDict({"arrays": arrays, "config": config})


def read_order(message: Message) -> Order:
    """Unpack an order, of our strategies or of Flower's own."""
    config = _config(message.content, "config")
    return Order(
        arrays=from_record(records_of(message.content, ArrayRecord)["arrays"]),
        server_round=server_round_of(message),
        group=str(config.get("group", "")),
        proximal_mu=_number(config.get("proximal-mu", 0.0)),
    )


def encoded_order(content: RecordDict, arrays: Mapping[str, ArrayRecord], order: CodecOrder) -> RecordDict:
    """Return an order's content with these arrays in place of its own, and how to read and answer it."""
    codec = ConfigRecord({"terms": order.terms.to_json(), "ticket": order.ticket})
    return RecordDict({**content, **arrays, _CODEC: codec})


def plain_content(content: RecordDict, arrays: Mapping[str, ArrayRecord]) -> RecordDict:
    """Return an encoded order's or reply's content as it is without a codec, these arrays in place of its own."""
    return RecordDict({key: record for key, record in {**content, **arrays}.items() if key != _CODEC})


def read_codec(message: Message) -> CodecOrder | None:
    """Return how an order is encoded and is to be answered, None if plainly."""
    record = records_of(message.content, ConfigRecord).get(_CODEC)
    if record is None:
        return None
    return CodecOrder(terms=CodecTerms.from_json(str(record["terms"])), ticket=str(record["ticket"]))


def add_ticket(content: RecordDict, ticket: str) -> None:
    """Write on an encoded reply which order it answers."""
    content[_CODEC] = ConfigRecord({"ticket": ticket})


def read_ticket(reply: Message) -> str | None:
    """Return which order an encoded reply answers, None if it is not encoded."""
    record = records_of(reply.content, ConfigRecord).get(_CODEC)
    return None if record is None else str(record.get("ticket"))


def group_of(message: Message) -> str:
    """Return the group an order names, empty if none, without unpacking its arrays."""
    config = _config(message.content, "config")
    return str(config.get("group", ""))


def server_round_of(message: Message) -> int:
    """Return the round an order belongs to, 0 if it does not say."""
    config = _config(message.content, "config")
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


def prefill_content(depth: int) -> RecordDict:
    """Return what asks clients to fill their activation caches for adapters of this depth, before round 1."""
    return RecordDict({"config": ConfigRecord({"server-round": 1, "group": "prefill", "depth": depth})})


def read_prefill(message: Message) -> int:
    """Return the depth to fill the cache for."""
    return int(_number(_config(message.content, "config")["depth"]))


def prefill_reply(order: Message, workload: Workload) -> Message:
    """Return the reply of a client that has filled its cache."""
    return Message(RecordDict({"workload": workload_record(workload)}), reply_to=order)


def read_terms(message: Message) -> RoundTerms:
    """Return on what terms an order's round is held."""
    config = _config(message.content, "config")
    deadline, wait_for = config.get("deadline-seconds"), config.get("wait-for")
    return RoundTerms(
        deadline_seconds=None if deadline is None else _number(deadline),
        wait_for=None if wait_for is None else int(_number(wait_for)),
        late="carry" if config.get("late") == "carry" else "drop",
    )


def workload_record(workload: Workload) -> ConfigRecord:
    """Pack a workload; a custom client puts it into its reply under the key `workload`."""
    return ConfigRecord(vars(workload))


def read_workload(reply: Message) -> Workload | None:
    """Return the workload a client reported, None if it did not."""
    record = records_of(reply.content, ConfigRecord).get("workload")
    return None if record is None else Workload(**record)  # type: ignore[arg-type]


def read_train_loss(reply: Message) -> float | None:
    """Return the training loss a client reported, None if it did not."""
    for metrics in records_of(reply.content, MetricRecord).values():
        loss = metrics.get("train-loss")
        if isinstance(loss, int | float):
            return float(loss)
    return None


def add_cost(reply: Message, cost: Cost) -> None:
    """Write on a reply what it cost."""
    reply.content["cost"] = ConfigRecord(vars(cost))


def read_cost(reply: Message) -> Cost:
    """Return what a reply cost; every reply that came through a timed grid says it."""
    return Cost(**records_of(reply.content, ConfigRecord)["cost"])  # type: ignore[arg-type]


def late_seconds_of(reply: Message) -> float:
    """Return how long after its round a reply comes in, 0 if in time or not known."""
    cost = _config(reply.content, "cost")
    return _number(cost.get("late_seconds", 0.0))


def add_measures(reply: Message, measures: Measures) -> None:
    """Write on a reply what its client measured."""
    reply.content["measures"] = ConfigRecord(dict(to_fields(measures)))


def read_measures(reply: Message) -> Measures | None:
    """Return what a client measured, None if it did not, or nothing that makes sense."""
    return from_fields(_config(reply.content, "measures"))


def add_board(reply: Message, board: str, *, parts: int | None = None) -> None:
    """Write on the answer to a query what the node runs on, and into how many parts it splits the experiment's data."""
    record = ConfigRecord({"board": board})
    if parts is not None:
        record["parts"] = parts
    reply.content["measures"] = record


def read_board(reply: Message) -> str:
    """Return what a node says it runs on, empty if it does not say."""
    return str(_config(reply.content, "measures").get("board", ""))


def read_parts(reply: Message) -> int | None:
    """Return into how many parts a node splits the experiment's data, None if it does not say, or has its own."""
    parts = _config(reply.content, "measures").get("parts")
    return None if parts is None else int(_number(parts))


def query_message(node_id: int) -> Message:
    """Return the question which partition a node holds."""
    return Message(RecordDict(), node_id, MessageType.QUERY)


def query_reply(query: Message, partition_id: int) -> Message:
    """Return the answer to it."""
    return Message(RecordDict({"client": ConfigRecord({"partition-id": partition_id})}), reply_to=query)


def read_query_reply(reply: Message) -> int:
    """Return the partition a node says it holds."""
    return int(_number(records_of(reply.content, ConfigRecord)["client"]["partition-id"]))


def _config(content: RecordDict, key: str) -> ConfigRecord:
    return records_of(content, ConfigRecord).get(key, ConfigRecord())


def _number(value: object) -> float:
    assert isinstance(value, int | float), f"expected a number, got {value!r}"
    return value
