"""What is recorded of a run as it happens: plain records of clients, rounds and trials.

`configuration` names what is trained: the set and its axes, such as {"set": "bottleneck", "depth": 2, "width": 8}
(`fedlab.workload.workload.Configuration`). `fedlab.results.old_records` reads what earlier versions wrote.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fedlab.messages.shift_history import TensorShifts

if TYPE_CHECKING:
    from fedlab.devices.tables import ProvenanceLevel

Dropout = Literal["failed", "memory", "gone", "late", "refused"]


@dataclass(frozen=True, kw_only=True)
class ClientRecord:
    """One client's part in one round.

    `configuration` is what the order asked it to train; empty if the order did not say.
    Where its work is lost, `error` gives the reason in words and `dropout` its kind: the client `failed` with an error,
    had not enough `memory`, was `gone` before it finished, was `late`, or its update was `refused`. Costs are what it
    spent until then, zero for one that failed. `batches` counts those it processed, `num_examples` the examples of its
    update. `joules` includes the `idle_joules` of waiting for the round's end. `late_seconds` is how long after that
    end its update arrived. The provenance levels say how sure the charged latency, the board's powers, and its memory
    with the work's need of it are; "" where nothing was computed. `passes` are what the client ran, as
    `fedlab.workload.encoding` writes them, None where that is not known; records of earlier versions have `old_work` in
    their place. `shifts` are what it recorded of the shifts of its integers, which are in a file of their own.
    """

    server_round: int
    group: str
    partition_id: int
    device: str
    configuration: dict[str, int | str]
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
    # Records of earlier versions do not have the following fields.
    dropout: Dropout | None = None
    passes: list[dict[str, Any]] | None = None
    cached_batches: int = 0
    idle_seconds: float = 0.0
    idle_joules: float = 0.0
    late_seconds: float = 0.0
    latency_provenance: "ProvenanceLevel | Literal['']" = ""
    energy_provenance: "ProvenanceLevel | Literal['']" = ""
    memory_provenance: "ProvenanceLevel | Literal['']" = ""
    old_work: dict[str, Any] | None = None
    shifts: list[TensorShifts] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The time the client was busy: download, then compute, then upload."""
        return self.download_seconds + self.compute_seconds + self.upload_seconds

    @property
    def round_seconds(self) -> float:
        """The time the client spent on the round: with the wait for the round's end, without work done after it."""
        return self.seconds + self.idle_seconds - self.late_seconds


@dataclass(frozen=True, kw_only=True)
class GroupRecord:
    """One group of clients in one round: all were sent the same configuration.

    `seconds` is the duration of the group's round, `failures` counts the clients whose work is lost. If the group
    itself `failed`, too few updates were left to average, and its model did not change.
    """

    group: str
    configuration: dict[str, int | str]
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

    `simulated_seconds` is the virtual clock at the round's end, `configuration` that of the global model after the
    round, `budget_seconds` the time that the current trial gives each group. Accuracies are None where nothing was
    measured. `wall_seconds` is the real time since the start of the run: the only field that may differ between two
    runs of one seed. `notes` are remarks of the strategy. The accuracies are the scores that the task names; `measures`
    has other measures by split and name, such as a language model's perplexity, and of `clients` how the accuracies on
    their training examples are distributed. The last round has the measures of each label on the test split.
    """

    server_round: int
    trial: int | None
    simulated_seconds: float
    configuration: dict[str, int | str]
    groups: list[GroupRecord]
    validation_accuracy: float | None
    test_accuracy: float | None
    wall_seconds: float
    budget_seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    labels: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """One group of a trial: its configuration, what it spent and its validation accuracy."""

    group: str
    configuration: dict[str, int | str]
    rounds: int
    seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    validation_accuracy: float


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of the search: the groups that ran side by side, and the winner, from which all continue.

    `configuration` is the winner's. `merged_accuracy` is the validation accuracy of all groups' weights averaged into
    that configuration, None if they were not averaged; if it is above the winner's, all continue from those weights.
    """

    trial: int
    server_round: int
    started_seconds: float
    ended_seconds: float
    budget_seconds: float
    candidates: list[CandidateRecord]
    winner: str
    configuration: dict[str, int | str]
    merged_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One exchange of a strategy that decides by what came back whether it makes a step or asks for more.

    `step` counts from 0, `cycle` how often it was asked for before. `probes` are the directions probed for the step so
    far, by the `clients` of this exchange and those before it; `guided` if they were chosen by the last gradient. The
    mean gradients of two halves of the probes have this `variance` and `cosine`, None where there are no two, or one is
    zero. The step was `accepted`, or `capped` as it was asked for often enough, or is `repeated`. Bytes are those of
    all messages of this exchange.
    """

    server_round: int
    step: int
    cycle: int
    clients: int
    probes: int
    guided: bool
    variance: float | None
    cosine: float | None
    verdict: Literal["accepted", "repeated", "capped"]
    bytes_down: int
    bytes_up: int


@dataclass(frozen=True, kw_only=True)
class ShiftRecord:
    """What a client recorded in a round of the shifts of one tensor; see `fedlab.messages.shift_history`."""

    server_round: int
    partition_id: int
    tensor: str
    found: int
    reused: int
    saturated: int
    changes: list[list[int]]

    @property
    def steps(self) -> int:
        """Return the number of steps of the client's part."""
        return self.found + self.reused


def shift_records(clients: Iterable[ClientRecord]) -> list[ShiftRecord]:
    """Return the shifts that clients recorded, one record a tensor."""
    return [
        ShiftRecord(server_round=client.server_round, partition_id=client.partition_id, **vars(each))
        for client in clients
        for each in client.shifts
    ]


def group_records(clients: Iterable[ClientRecord], failed: Collection[str] = ()) -> list[GroupRecord]:
    """Sum up the clients of one round by group, groups in the order of their first client; these groups `failed`."""
    groups: dict[str, list[ClientRecord]] = {}
    for client in clients:
        groups.setdefault(client.group, []).append(client)
    return [_group_record(group, members, group in failed) for group, members in groups.items()]


def _group_record(group: str, members: list[ClientRecord], failed: bool) -> GroupRecord:
    replied = [member for member in members if member.error is None]
    losses = [member.train_loss for member in replied if member.train_loss is not None]
    return GroupRecord(
        group=group,
        configuration=_common_configuration(members),
        clients=len(members),
        failures=len(members) - len(replied),
        seconds=max(member.round_seconds for member in members),
        joules=sum(member.joules for member in members),
        bytes_down=sum(member.bytes_down for member in members),
        bytes_up=sum(member.bytes_up for member in members),
        train_loss=sum(losses) / len(losses) if losses else None,
        failed=failed,
    )


def _common_configuration(members: list[ClientRecord]) -> dict[str, int | str]:
    """Return what all members were sent. Earlier versions did not record the axes for those that failed."""
    return max((member.configuration for member in members), key=len)
