"""What is written down of a run, as it happens: plain records of clients, rounds and trials."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClientRecord:
    """One client's part in one round; costs are zero and `error` says why where it did not reply."""

    server_round: int
    group: str
    partition_id: int
    device: str
    depth: int
    width: int
    num_examples: int
    batches: int
    train_loss: float | None
    compute_seconds: float
    download_seconds: float
    upload_seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    peak_memory_bytes: int
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class GroupRecord:
    """One group of clients in one round: all share a configuration. `seconds` is its slowest client's."""

    group: str
    depth: int
    width: int
    clients: int
    failures: int
    seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    train_loss: float | None


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """One server round.

    `simulated_seconds` is the virtual clock at the round's end, `depth` and `width` the configuration of the global
    model then, `budget_seconds` what the trial under way gives each group. Accuracies are None where nothing was
    measured. `wall_seconds` is the real time since the start of the run: the only field that may differ between two
    runs of one seed.
    """

    server_round: int
    trial: int | None
    simulated_seconds: float
    depth: int
    width: int
    groups: list[GroupRecord]
    validation_accuracy: float | None
    test_accuracy: float | None
    wall_seconds: float
    budget_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """How one group of a trial did: its configuration, what it spent and its validation accuracy."""

    group: str
    depth: int
    width: int
    rounds: int
    seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    validation_accuracy: float


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of the search: the groups that ran side by side, and the one all go on from."""

    trial: int
    server_round: int
    started_seconds: float
    ended_seconds: float
    budget_seconds: float
    candidates: list[CandidateRecord]
    winner: str
    depth: int
    width: int


def group_records(clients: Iterable[ClientRecord]) -> list[GroupRecord]:
    """Sum up the clients of one round by group, groups in the order they first appear."""
    groups: dict[str, list[ClientRecord]] = {}
    for client in clients:
        groups.setdefault(client.group, []).append(client)
    return [_group_record(group, members) for group, members in groups.items()]


def _group_record(group: str, members: list[ClientRecord]) -> GroupRecord:
    replied = [member for member in members if member.error is None]
    losses = [member.train_loss for member in replied if member.train_loss is not None]
    return GroupRecord(
        group=group,
        depth=max((member.depth for member in replied), default=0),
        width=max((member.width for member in replied), default=1),
        clients=len(members),
        failures=len(members) - len(replied),
        seconds=max((m.download_seconds + m.compute_seconds + m.upload_seconds for m in replied), default=0.0),
        joules=sum(member.joules for member in replied),
        bytes_down=sum(member.bytes_down for member in replied),
        bytes_up=sum(member.bytes_up for member in replied),
        train_loss=sum(losses) / len(losses) if losses else None,
    )
