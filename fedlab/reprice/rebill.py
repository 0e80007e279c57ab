"""A run's records as they would be with other boards and links: what its clients did, billed again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from fedlab.billing.simulated import Bill, Participation, SimulatedPhysics
from fedlab.common.clock import VirtualClock
from fedlab.errors import DamagedError, UserError
from fedlab.messages.round_terms import RESENT
from fedlab.reprice.old_work import old_workload
from fedlab.results.records import ClientRecord, RoundRecord, group_records
from fedlab.workload.encoding import read_pass
from fedlab.workload.workload import Workload

_WITHOUT_TRAINING = ("evaluate", "prefill")  # groups of messages that bring back no model
_APART = (*_WITHOUT_TRAINING, RESENT)  # groups that set out when those before them are done


def rebilled(
    rounds: Sequence[RoundRecord], clients: Sequence[ClientRecord], physics: SimulatedPhysics, place: str
) -> tuple[list[RoundRecord], list[ClientRecord]]:
    """Let a run's clock run again, each batch of clients setting out when the one before it is done.

    `place` is the run's, for a message. Raises UserError where a client would drop out.
    """
    _check(clients, physics, place)
    clock = VirtualClock()
    by_round = {number: list(records) for number, records in groupby(clients, lambda record: record.server_round)}
    new_rounds, new_clients = [], []
    for record in rounds:
        billed: list[ClientRecord] = []
        for batch in _batches(by_round.get(record.server_round, [])):
            ends, bills = _bills(batch, physics, clock.now(), place)
            billed += [_record(each, bills.get(at), physics) for at, each in enumerate(batch)]
            clock.advance(max(0.0, ends - clock.now()))
        failed = [group.group for group in record.groups if group.failed]
        groups = group_records(billed, failed)
        new_rounds.append(replace(record, simulated_seconds=clock.latest(), groups=groups))
        new_clients += billed
    return new_rounds, new_clients


def _check(clients: Sequence[ClientRecord], physics: SimulatedPhysics, place: str) -> None:
    """Raise a DamagedError if a record is of no client of the run, or does not say its work as any version does."""
    for each in clients:
        work, passes = each.old_work, each.passes or []
        told = work is None or {"method", "batch_size", "sequence_length", "depth", "width"} <= work.keys()
        if not (told and all(isinstance(one.get("kind"), str) for one in passes)):
            raise DamagedError(f"{place}: the record of client {each.partition_id} does not say what the client did")
        if not 0 <= each.partition_id < len(physics.fleet):
            raise DamagedError(f"{place}: a record of client {each.partition_id}, but there are {len(physics.fleet)}")


def _batches(records: Sequence[ClientRecord]) -> Iterator[list[ClientRecord]]:
    """Yield the clients of a round that set out together: those that filled caches, trained, evaluated, ..."""
    for _, batch in groupby(records, _kind):
        yield list(batch)


def _kind(record: ClientRecord) -> str:
    """Return what a client was asked for; one that failed, or lacked the model, has a group alone."""
    if record.group in _APART:
        return record.group
    if record.group == "train":  # also where it is done by forward passes alone
        return ""
    if record.old_work is not None:
        return str(record.old_work["method"]) if record.old_work["method"] in _WITHOUT_TRAINING else ""
    kinds = {each["kind"] for each in record.passes or []}
    return "evaluate" if kinds == {"forward"} else ""


def _bills(
    batch: Sequence[ClientRecord], physics: SimulatedPhysics, now_seconds: float, place: str
) -> tuple[float, Mapping[int, Bill]]:
    """Return when a batch is done, and the bills of its clients by their places; what is not known costs nothing."""
    blocks = physics.shape.blocks
    parts = {at: _part(each, now_seconds, blocks) for at, each in enumerate(batch) if says_work(each)}
    bills = dict(zip(parts, physics.bill(list(parts.values()), {}), strict=True))
    for at, bill in bills.items():
        if bill.dropout not in (None, "refused"):
            raise UserError(
                f"{place}: cannot be repriced: client {batch[at].partition_id} would drop out: {bill.reason}"
            )
    return max((bill.round_ends_seconds for bill in bills.values()), default=now_seconds), bills


def says_work(record: ClientRecord) -> bool:
    """Tell whether a record says what its client did."""
    return record.passes is not None or record.old_work is not None


def _workload(record: ClientRecord, model_blocks: int) -> Workload:
    """Return what a client did. Raises UserError if its record makes no sense."""
    if record.passes is not None:
        return Workload(passes=tuple(map(read_pass, record.passes)), num_examples=record.num_examples)
    assert record.old_work is not None, "the record says what was done"
    return old_workload(
        record.old_work,
        batches=record.batches,
        cached_batches=record.cached_batches,
        num_examples=record.num_examples,
        model_blocks=model_blocks,
    )


def _part(record: ClientRecord, now_seconds: float, model_blocks: int) -> Participation:
    return Participation(
        workload=_workload(record, model_blocks),
        partition_id=record.partition_id,
        server_round=record.server_round,
        bytes_down=record.bytes_down,
        bytes_up=record.bytes_up,
        group=record.group,
        start_seconds=now_seconds,
    )


def _record(record: ClientRecord, bill: Bill | None, physics: SimulatedPhysics) -> ClientRecord:
    device = physics.device(record.partition_id)
    if bill is None:
        return replace(record, device=device)
    cost = bill.cost
    return replace(
        record,
        device=device,
        compute_seconds=cost.compute_seconds,
        download_seconds=cost.download_seconds,
        upload_seconds=cost.upload_seconds,
        idle_seconds=cost.idle_seconds,
        late_seconds=cost.late_seconds,
        joules=cost.joules,
        idle_joules=cost.idle_joules,
        peak_memory_bytes=cost.peak_memory_bytes,
        latency_provenance=bill.latency_provenance,
        energy_provenance=bill.energy_provenance,
        memory_provenance=bill.memory_provenance,
    )
