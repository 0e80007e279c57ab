"""A run's records as they would be with other boards and links: what its clients did, billed again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import cast

from fedlab.billing.simulated import Bill, Participation, SimulatedPhysics
from fedlab.common.clock import VirtualClock
from fedlab.errors import UserError
from fedlab.results.records import ClientRecord, RoundRecord, group_records
from fedlab.workload.workload import FORWARD_ONLY, Method, Workload


def rebilled(
    rounds: Sequence[RoundRecord], clients: Sequence[ClientRecord], physics: SimulatedPhysics, place: str
) -> tuple[list[RoundRecord], list[ClientRecord]]:
    """Let a run's clock run again, each batch of clients setting out when the one before it is done.

    `place` is the run's, for a message. Raises UserError where a client would drop out.
    """
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


def _batches(records: Sequence[ClientRecord]) -> Iterator[list[ClientRecord]]:
    """Yield the clients of a round that set out together: those that filled caches, that trained, that evaluated."""
    for _, batch in groupby(records, _kind):
        yield list(batch)


def _kind(record: ClientRecord) -> str:
    """Return the method or group that says which of them a client is of; one that failed has no method."""
    return next((name for name in FORWARD_ONLY if name in (record.method, record.group)), "")


def _bills(
    batch: Sequence[ClientRecord], physics: SimulatedPhysics, now_seconds: float, place: str
) -> tuple[float, Mapping[int, Bill]]:
    """Return when a batch is done, and the bills of its clients by their places; what failed costs nothing."""
    parts = {
        at: _part(each, now_seconds, physics.shape.blocks) for at, each in enumerate(batch) if each.dropout != "failed"
    }
    bills = dict(zip(parts, physics.bill(list(parts.values()), {}), strict=True))
    for at, bill in bills.items():
        if bill.dropout is not None:
            raise UserError(
                f"{place}: cannot be billed anew: client {batch[at].partition_id} would drop out: {bill.reason}"
            )
    return max((bill.round_ends_seconds for bill in bills.values()), default=now_seconds), bills


def _part(record: ClientRecord, now_seconds: float, blocks: int) -> Participation:
    """Return a client's part; of a set without a depth all `blocks` are trained."""
    return Participation(
        workload=Workload(
            method=cast("Method", record.method),
            depth=int(record.configuration.get("depth", blocks)),
            width=int(record.configuration.get("width", 1)),
            batches=record.batches,
            cached_batches=record.cached_batches,
            batch_size=record.batch_size,
            sequence_length=record.sequence_length,
            num_examples=record.num_examples,
        ),
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
        latency_provenance=bill.standing,
        energy_provenance=bill.energy_standing,
        memory_provenance=bill.memory_standing,
    )
