"""The only place that knows the keys of records: what server and clients say to each other, packed and unpacked.

| message      | record             | holds                                                          |
|--------------|--------------------|----------------------------------------------------------------|
| train        | `arrays`           | the model to start from, as `fedlab.models.peft` describes   |
|              | `config`           | `server-round`, `configuration`; AdaFL adds `group`, FedProx `proximal-mu`,     |
|              |                    | client-side clipping of differential privacy `clipping_norm`, and |
|              |                    | strategies that do not wait for all `deadline-seconds`,        |
|              |                    | `wait-for`, `late` (`fedlab.messages.round_terms.RoundTerms`)     |
| its reply    | `arrays`           | the trained arrays, or what `kind` says they are               |
|              | `config`           | `kind` of the update (`fedlab.messages.updates`), absent for a model; |
|              |                    | `lacks-model` if it has not kept the model of an order without |
|              |                    | one (`fedlab.messages.kept_model`), and did nothing            |
|              | `metrics`          | `num-examples` and `train-loss`; `norm_bit` if it was to clip  |
|              | `workload`         | what the client did: `num-examples`, and `passes` as JSON      |
|              |                    | (`fedlab.workload.encoding`, of a `Workload`)                  |
| evaluate     | `arrays`, `config` | as train                                                       |
| its reply    | `metrics`          | `num-examples`, `eval-accuracy`; and `workload`                |
| either, with | `codec`            | `terms` (`fedlab.codecs.spec`), and the `ticket` to put into  |
| a codec      |                    | an encoded reply, under the same key                           |
| `PREFILL`    | `config`           | `server-round`, `group`, `configuration`    |
| its reply    | `workload`         | as above                                                       |
| query        | nothing            |                                                                |
| its reply    | `client`           | `partition-id`                                                 |
| any reply of | `measures`         | what a real client measured (`fedlab.messages.measurements`); to a query,   |
| a real node  |                    | the `board` it runs on, and of how many `parts` of the data it |
|              |                    | holds one, if it has none of its own                           |

On the server a timed grid adds `cost` to replies (`fedlab.workload.workload.Cost`). Workload and cost are config
records because Flower's own strategies insist on exactly one metric record.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.messages.codec_terms import CodecTerms
from fedlab.messages.pack import CODEC, config_of, from_record, number_of, records_of
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.workload import Configuration

CONFIGURATION = "configuration"
PREFILL = f"{MessageType.QUERY}.prefill"  # asks to fill the activation cache
PREFILL_GROUP = "prefill"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the server asks of a client: to train or evaluate these arrays, which are read-only.

    `configuration` names the trainable set that they are of (`fedlab.models.peft.base.from_configuration`); it is
    empty if the order does not say. An update may be no longer than `clipping_norm` (`fedlab.messages.clipping`).
    """

    arrays: Arrays
    server_round: int
    configuration: Configuration
    group: str = ""
    proximal_mu: float = 0.0
    clipping_norm: float | None = None


@dataclass(frozen=True, kw_only=True)
class CodecOrder:
    """How an order is encoded and its reply is to be; without a ticket the reply is not to be encoded.

    The ticket says which order a reply answers, whose arrays the update is a difference to.
    """

    terms: CodecTerms
    ticket: str = ""


def order_content(
    arrays: ArrayRecord,
    *,
    server_round: int,
    configuration: Configuration | None = None,
    group: str = "",
    terms: RoundTerms | None = None,
) -> RecordDict:
    """Return the content of an order; messages to several clients share it.

    `configuration` names what is trained: the set, and its axes. Clients that must know it refuse orders without.
    """
    config = ConfigRecord({"server-round": server_round, "group": group})
    if configuration is not None:
        config[CONFIGURATION] = packed_configuration(configuration)
    if terms is not None and terms.deadline_seconds is not None:
        config["deadline-seconds"] = terms.deadline_seconds
    if terms is not None and terms.wait_for is not None:
        config["wait-for"] = terms.wait_for
    if terms is not None and terms.late == "carry":
        config["late"] = terms.late
    return RecordDict({"arrays": arrays, "config": config})


def read_order(message: Message) -> Order:
    """Unpack an order, of our strategies or of Flower's own."""
    config = config_of(message.content, "config")
    norm = config.get("clipping_norm")
    return Order(
        arrays=from_record(records_of(message.content, ArrayRecord)["arrays"]),
        server_round=server_round_of(message),
        configuration=configuration_of(message),
        group=str(config.get("group", "")),
        proximal_mu=number_of(config.get("proximal-mu", 0.0)),
        clipping_norm=None if norm is None else number_of(norm),
    )


def encoded_order(content: RecordDict, arrays: Mapping[str, ArrayRecord], order: CodecOrder) -> RecordDict:
    """Return an order's content with these arrays in place of its own, and how to read and answer it."""
    codec = ConfigRecord({"terms": order.terms.to_json(), "ticket": order.ticket})
    return RecordDict({**content, **arrays, CODEC: codec})


def plain_content(content: RecordDict, arrays: Mapping[str, ArrayRecord]) -> RecordDict:
    """Return an encoded order's or reply's content as it is without a codec, these arrays in place of its own."""
    return RecordDict({key: record for key, record in {**content, **arrays}.items() if key != CODEC})


def read_codec(message: Message) -> CodecOrder | None:
    """Return how an order is encoded and is to be answered, None if plainly."""
    record = records_of(message.content, ConfigRecord).get(CODEC)
    if record is None:
        return None
    return CodecOrder(terms=CodecTerms.from_json(str(record["terms"])), ticket=str(record["ticket"]))


def group_of(message: Message) -> str:
    """Return the group an order names, empty if none, without unpacking its arrays."""
    config = config_of(message.content, "config")
    return str(config.get("group", ""))


def server_round_of(message: Message) -> int:
    """Return the round an order belongs to, 0 if it does not say."""
    config = config_of(message.content, "config")
    return int(number_of(config.get("server-round", 0)))


def prefill_content(configuration: Configuration) -> RecordDict:
    """Return what asks clients to fill their activation caches for this configuration, before round 1."""
    config = ConfigRecord({"server-round": 1, "group": PREFILL_GROUP})
    config[CONFIGURATION] = packed_configuration(configuration)
    return RecordDict({"config": config})


def packed_configuration(configuration: Configuration) -> str:
    """Return a configuration as it travels in an order's `config` record."""
    return json.dumps(dict(configuration), separators=(",", ":"))


def passed_configuration(config: ConfigRecord) -> Configuration:
    """Return what the `config` that a strategy was handed says is trained; empty if it does not say."""
    packed = config.get(CONFIGURATION)
    return {} if packed is None else dict(json.loads(str(packed)))


def configuration_of(message: Message) -> Configuration:
    """Return what an order says is trained; empty if it does not say."""
    return passed_configuration(config_of(message.content, "config"))


def read_terms(message: Message) -> RoundTerms:
    """Return on what terms an order's round is held."""
    config = config_of(message.content, "config")
    deadline, wait_for = config.get("deadline-seconds"), config.get("wait-for")
    return RoundTerms(
        deadline_seconds=None if deadline is None else number_of(deadline),
        wait_for=None if wait_for is None else int(number_of(wait_for)),
        late="carry" if config.get("late") == "carry" else "drop",
    )


def query_message(node_id: int) -> Message:
    """Return the question which partition a node holds."""
    return Message(RecordDict(), node_id, MessageType.QUERY)
