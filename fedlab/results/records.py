"""What is written down of a run, as it happens: plain records of clients, rounds and trials."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Dropout = Literal["failed", "memory", "gone", "late", "refused"]
_OLD_WORK = ("method", "batch_size", "sequence_length")  # in place of passes


@dataclass(frozen=True, kw_only=True)
class ClientRecord:
    """One client's part in one round.

    Where its work is lost, `error` says why in words and `dropout` in one: it `failed` with an error of its own, had
    not enough `memory`, was `gone` before it was done, was `late`, or what it sent was `refused`. Costs are what it
    spent until then, zero for one that failed. Batches are those it did, `num_examples` those of its update.
    `joules` holds the `idle_joules` of waiting for the round's end. Work of `late_seconds` was handed in so long after
    that end. `passes` are what it ran, as `fedlab.workload.encoding` writes them, None where that is not known; records
    of earlier versions have `old_work` in their place. `latency_standing` says how sure the latency is that was charged
    for, "" where nothing was computed, `energy_standing` the powers, `memory_standing` the board's memory and what the
    work takes of it.
    """

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
    # Records of earlier versions have none of what follows.
    dropout: Dropout | None = None
    passes: list[dict[str, Any]] | None = None
    cached_batches: int = 0
    idle_seconds: float = 0.0
    idle_joules: float = 0.0
    late_seconds: float = 0.0
    latency_standing: str = ""
    energy_standing: str = ""
    memory_standing: str = ""
    old_work: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """What the client was busy for: download, then compute, then upload."""
        return self.download_seconds + self.compute_seconds + self.upload_seconds

    @property
    def round_seconds(self) -> float:
        """How long it had to do with its round, with the wait for the round's end, and without work done after it."""
        return self.seconds + self.idle_seconds - self.late_seconds


@dataclass(frozen=True, kw_only=True)
class GroupRecord:
    """One group of clients in one round: all share a configuration.

    `seconds` is how long the round took it, `failures` counts the clients whose work is lost. Where the group itself
    has `failed`, too few updates were left to average, and its model stayed as it was.
    """

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
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """One server round.

    `simulated_seconds` is the virtual clock at the round's end, `depth` and `width` the configuration of the global
    model then, `budget_seconds` what the trial under way gives each group. Accuracies are None where nothing was
    measured. `wall_seconds` is the real time since the start of the run: the only field that may differ between two
    runs of one seed. `notes` are what the strategy had to remark.
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
    notes: list[str] = field(default_factory=list)


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
    """One trial of the search: the groups that ran side by side, and the one all go on from.

    `merged_accuracy` is what all groups' weights, averaged into the winner's configuration, reached on the validation
    split, if they were; where that is more than the winner's, all go on from them.
    """

    trial: int
    server_round: int
    started_seconds: float
    ended_seconds: float
    budget_seconds: float
    candidates: list[CandidateRecord]
    winner: str
    depth: int
    width: int
    merged_accuracy: float | None = None


def client_record(table: Mapping[str, Any]) -> ClientRecord:
    """Return a client's record as it was written, by this version or by one that knew no passes."""
    new = {key: value for key, value in table.items() if key not in _OLD_WORK}
    if table.get("method"):
        new["old_work"] = {key: table[key] for key in (*_OLD_WORK, "depth", "width")}
    return ClientRecord(**new)


def group_records(clients: Iterable[ClientRecord], failed: Collection[str] = ()) -> list[GroupRecord]:
    """Sum up the clients of one round by group, groups in the order they first appear; these groups `failed`."""
    groups: dict[str, list[ClientRecord]] = {}
    for client in clients:
        groups.setdefault(client.group, []).append(client)
    return [_group_record(group, members, group in failed) for group, members in groups.items()]


def _group_record(group: str, members: list[ClientRecord], failed: bool) -> GroupRecord:
    replied = [member for member in members if member.error is None]
    losses = [member.train_loss for member in replied if member.train_loss is not None]
    return GroupRecord(
        group=group,
        depth=max(member.depth for member in members),
        width=max(member.width for member in members),
        clients=len(members),
        failures=len(members) - len(replied),
        seconds=max(member.round_seconds for member in members),
        joules=sum(member.joules for member in members),
        bytes_down=sum(member.bytes_down for member in members),
        bytes_up=sum(member.bytes_up for member in members),
        train_loss=sum(losses) / len(losses) if losses else None,
        failed=failed,
    )
