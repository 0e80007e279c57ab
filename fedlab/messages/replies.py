"""What clients answer: replies, written and read."""

from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.errors import UserError
from fedlab.messages.measurements import Measures, from_fields, to_fields
from fedlab.messages.orders import PREFILL
from fedlab.messages.pack import CODEC, NUM_EXAMPLES, TRAIN_LOSS, config_of, number_of, records_of, to_record
from fedlab.messages.shift_history import TensorShifts, shifts_from_text, shifts_to_text
from fedlab.messages.updates import Kind, add_kind
from fedlab.workload.encoding import passes_from_text, passes_to_text
from fedlab.workload.workload import Cost, Workload


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a client answers to an order to train; `kind` says what the arrays are (`fedlab.messages.updates`).

    `clipped` says whether the update was longer than the norm that the order sets, None where it sets none. `shifts`
    are those of a client that trains in integers and is asked to record them.
    """

    arrays: Arrays
    num_examples: int
    train_loss: float
    workload: Workload
    kind: Kind = "model"
    clipped: bool | None = None
    shifts: Sequence[TensorShifts] = ()


@dataclass(frozen=True, kw_only=True)
class EvaluateReport:
    """What a client answers to an order to evaluate."""

    num_examples: int
    accuracy: float
    workload: Workload


def add_ticket(content: RecordDict, ticket: str) -> None:
    """Write on an encoded reply which order it answers."""
    content[CODEC] = ConfigRecord({"ticket": ticket})


def read_ticket(reply: Message) -> str | None:
    """Return which order an encoded reply answers, None if it is not encoded."""
    record = records_of(reply.content, ConfigRecord).get(CODEC)
    return None if record is None else str(record.get("ticket"))


def train_reply(order: Message, report: TrainReport) -> Message:
    """Return the client's reply to an order to train."""
    metrics = MetricRecord({NUM_EXAMPLES: report.num_examples, TRAIN_LOSS: report.train_loss})
    if report.clipped is not None:
        metrics["norm_bit"] = int(report.clipped)
    workload = workload_record(report.workload)
    content = RecordDict({"arrays": to_record(report.arrays), "metrics": metrics, "workload": workload})
    add_kind(content, report.kind)
    if report.shifts:
        content["shifts"] = ConfigRecord({"tensors": shifts_to_text(report.shifts)})
    return Message(content, reply_to=order)


def evaluate_reply(order: Message, report: EvaluateReport) -> Message:
    """Return the client's reply to an order to evaluate."""
    metrics = MetricRecord({NUM_EXAMPLES: report.num_examples, "eval-accuracy": report.accuracy})
    return Message(RecordDict({"metrics": metrics, "workload": workload_record(report.workload)}), reply_to=order)


def prefill_reply(order: Message, workload: Workload) -> Message:
    """Return the reply of a client that has filled its cache."""
    return Message(RecordDict({"workload": workload_record(workload)}), reply_to=order)


def workload_record(workload: Workload) -> ConfigRecord:
    """Pack a workload; a custom client puts it into its reply under the key `workload`."""
    return ConfigRecord({"passes": passes_to_text(workload.passes), NUM_EXAMPLES: workload.num_examples})


def read_workload(reply: Message) -> Workload | None:
    """Return the workload a client reported, None if it did not.

    Raises:
        UserError: it reported something else; the message says what.
    """
    record = reply.content.get("workload")
    if record is None:
        return None
    if not isinstance(record, ConfigRecord) or set(record) != {"passes", NUM_EXAMPLES}:
        raise UserError(f"workload: expected a config record of passes and {NUM_EXAMPLES}")
    passes, num_examples = record["passes"], record[NUM_EXAMPLES]
    if not isinstance(passes, str):
        raise UserError("workload: passes is not text")
    return Workload(passes=passes_from_text(passes), num_examples=num_examples)  # type: ignore[arg-type]


def unreadable_workload(reply: Message) -> str | None:
    """Say what is wrong with what a client reports of its work, None if nothing is, or it reports none."""
    try:
        read_workload(reply)
    except UserError as error:
        return str(error)
    return None


def workload_flaw(reply: Message) -> str | None:
    """Say what is wrong with the workload of a reply to an order; None if nothing is.

    It must be there, and be readable. Answers to a question, and errors, have none.
    """
    kind = reply.metadata.message_type
    ordered = kind.partition(".")[0] in (MessageType.TRAIN, MessageType.EVALUATE) or kind == PREFILL
    if reply.has_error() or not ordered:
        return None
    missing = None if "workload" in reply.content else "it reports no workload"
    return missing or unreadable_workload(reply)


def read_train_loss(reply: Message) -> float | None:
    """Return the training loss a client reported, None if it did not."""
    for metrics in records_of(reply.content, MetricRecord).values():
        loss = metrics.get(TRAIN_LOSS)
        if isinstance(loss, int | float):
            return float(loss)
    return None


def read_shifts(reply: Message) -> tuple[TensorShifts, ...]:
    """Return what a client recorded of its shifts, nothing if it did not, or nothing that makes sense."""
    return () if reply.has_error() else shifts_from_text(config_of(reply.content, "shifts").get("tensors"))


def add_cost(reply: Message, cost: Cost) -> None:
    """Write on a reply what it cost."""
    reply.content["cost"] = ConfigRecord(vars(cost))


def read_cost(reply: Message) -> Cost:
    """Return what a reply cost; every reply that came through a timed grid says it."""
    return Cost(**records_of(reply.content, ConfigRecord)["cost"])  # type: ignore[arg-type]


def late_seconds_of(reply: Message) -> float:
    """Return how long after its round a reply comes in, 0 if in time or not known."""
    cost = config_of(reply.content, "cost")
    return number_of(cost.get("late_seconds", 0.0))


def add_measures(reply: Message, measures: Measures) -> None:
    """Write on a reply what its client measured."""
    reply.content["measures"] = ConfigRecord(dict(to_fields(measures)))


def read_measures(reply: Message) -> Measures | None:
    """Return what a client measured, None if it did not, or nothing that makes sense."""
    return from_fields(config_of(reply.content, "measures"))


def add_board(reply: Message, board: str, *, parts: int | None = None) -> None:
    """Write on the answer to a query what the node runs on, and into how many parts it splits the experiment's data."""
    record = ConfigRecord({"board": board})
    if parts is not None:
        record["parts"] = parts
    reply.content["measures"] = record


def read_board(reply: Message) -> str:
    """Return what a node says it runs on, empty if it does not say."""
    return str(config_of(reply.content, "measures").get("board", ""))


def read_parts(reply: Message) -> int | None:
    """Return into how many parts a node splits the experiment's data, None if it does not say, or has its own."""
    parts = config_of(reply.content, "measures").get("parts")
    return None if parts is None else int(number_of(parts))


def query_reply(query: Message, partition_id: int) -> Message:
    """Return the answer to it."""
    return Message(RecordDict({"client": ConfigRecord({"partition-id": partition_id})}), reply_to=query)


def read_query_reply(reply: Message) -> int:
    """Return the partition a node says it holds."""
    return int(number_of(records_of(reply.content, ConfigRecord)["client"]["partition-id"]))
