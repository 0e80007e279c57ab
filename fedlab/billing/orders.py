"""From messages to what the physics bills, and from its bills to records."""

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import Message, MessageType

from fedlab.billing.simulated import Bill, Participation
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import CLIENT_UNAVAILABLE, REPLY_LATE, REPLY_UNUSABLE, record_bytes, unusable
from fedlab.messages.orders import configuration_of, group_of, read_terms, server_round_of
from fedlab.messages.replies import read_measures, read_shifts, read_train_loss, read_workload, unreadable_workload
from fedlab.messages.round_terms import RoundTerms
from fedlab.messages.updates import kind_of
from fedlab.results.records import ClientRecord, Dropout
from fedlab.workload.encoding import plain_pass
from fedlab.workload.workload import Configuration, Cost

_NOTHING = Cost(
    compute_seconds=0.0,
    download_seconds=0.0,
    upload_seconds=0.0,
    compute_joules=0.0,
    transfer_joules=0.0,
    bytes_down=0,
    bytes_up=0,
    peak_memory_bytes=0,
)


# Dropout reason for each error code that a grid gives in place of a reply.
_DROPOUTS: Mapping[int, Dropout] = {CLIENT_UNAVAILABLE: "gone", REPLY_LATE: "late", REPLY_UNUSABLE: "refused"}


@dataclass(frozen=True, kw_only=True)
class MessageTerms:
    """What messages have in common that share their content."""

    num_bytes: int
    group: str
    server_round: int
    configuration: Configuration
    terms: RoundTerms


@dataclass(frozen=True, kw_only=True)
class SentMessage:
    """A message on its way, and the simulated seconds at which it set out and its client goes away."""

    message: Message
    order: MessageTerms
    partition_id: int
    start_seconds: float
    leaves_seconds: float

    @property
    def reached(self) -> bool:
        """Whether the client was there to get it."""
        return self.start_seconds < self.leaves_seconds

    @property
    def billed(self) -> bool:
        """Whether it costs anything: queries are free."""
        return bool(self.message.metadata.message_type != MessageType.QUERY)


def order_of(message: Message) -> MessageTerms:
    """Return what a message has in common with others of its content."""
    return MessageTerms(
        num_bytes=record_bytes(message.content),
        group=group_of(message),
        server_round=server_round_of(message),
        configuration=configuration_of(message),
        terms=read_terms(message),
    )


def readable(reply: Message) -> Message:
    """Return a reply, or in its place an error if what it says of the client's work makes no sense.

    One client's nonsense is one client's loss, in simulation as on real machines.
    """
    problem = None if reply.has_error() else unreadable_workload(reply)
    return unusable(reply, problem) if problem else reply


def participation_of(sent: SentMessage, reply: Message) -> Participation:
    """Return a client's part by its reply, which is an error if the client was not reached.

    Raises:
        RunFailedError: the reply says nothing of the work.
    """
    workload = read_workload(reply) if sent.reached else None
    if workload is None and sent.reached:
        raise RunFailedError(
            f"client {sent.partition_id} reported no workload, so its time is unknown: "
            "put messages.workload_record(...) into its reply under the key 'workload'"
        )
    return Participation(
        workload=workload,
        partition_id=sent.partition_id,
        server_round=sent.order.server_round,
        bytes_down=sent.order.num_bytes,
        bytes_up=record_bytes(reply.content) if sent.reached else 0,
        group=sent.order.group,
        configuration=sent.order.configuration,
        start_seconds=sent.start_seconds,
        leaves_seconds=sent.leaves_seconds,
        measures=read_measures(reply) if sent.reached else None,
        update=kind_of(reply.content)
        if sent.reached and sent.message.metadata.message_type == MessageType.TRAIN
        else "",
    )


def bill_of_failure(sent: SentMessage, reply: Message) -> Bill:
    """Return the bill of a client that answered with an error, or not at all: what it did until then is not known."""
    return Bill(
        cost=_NOTHING,
        round_ends_seconds=sent.start_seconds,
        dropout=_DROPOUTS.get(reply.error.code, "failed"),
        reason=reply.error.reason or "no reason given",
    )


def record_of(sent: SentMessage, bill: Bill, part: Participation | None, reply: Message, device: str) -> ClientRecord:
    """Return the record of a client's part; of the work of one that failed nothing is known."""
    workload, cost = part.workload if part else None, bill.cost
    lost = bill.dropout is not None
    return ClientRecord(
        server_round=sent.order.server_round,
        group=sent.order.group or sent.message.metadata.message_type,
        partition_id=sent.partition_id,
        device=device,
        configuration=dict(sent.order.configuration),
        num_examples=workload.num_examples if workload and not lost else 0,
        batches=_done(bill, workload.batches if workload else 0),
        cached_batches=_done(bill, workload.cached_batches if workload else 0),
        passes=[plain_pass(each) for each in workload.passes] if workload else None,
        train_loss=None if lost else read_train_loss(reply),
        compute_seconds=cost.compute_seconds,
        download_seconds=cost.download_seconds,
        upload_seconds=cost.upload_seconds,
        idle_seconds=cost.idle_seconds,
        late_seconds=cost.late_seconds,
        joules=cost.joules,
        idle_joules=cost.idle_joules,
        bytes_down=cost.bytes_down,
        bytes_up=cost.bytes_up,
        peak_memory_bytes=cost.peak_memory_bytes,
        latency_provenance=bill.latency_provenance,
        energy_provenance=bill.energy_provenance,
        memory_provenance=bill.memory_provenance,
        dropout=bill.dropout,
        error=bill.reason,
        shifts=[] if lost else list(read_shifts(reply)),
    )


def _done(bill: Bill, batches: int) -> int:
    return int(batches * bill.done)
