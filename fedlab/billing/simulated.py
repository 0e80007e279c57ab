"""What the parts of a batch of clients cost that run side by side: the simulated physics as one pure function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

from fedlab.billing.contention import Transfer, shared_seconds
from fedlab.billing.costs import Stages, cost_of
from fedlab.common.units import human_bytes, human_seconds
from fedlab.devices.costmodel.base import Computing, misfit, price
from fedlab.devices.fleet import Fleet
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import ProvenanceLevel, least_sure
from fedlab.messages.measurements import Measures
from fedlab.messages.round_terms import Ending, RoundTerms, round_seconds
from fedlab.network.links import Direction, Link
from fedlab.results.records import Dropout
from fedlab.workload.shape import AnyShape
from fedlab.workload.workload import Configuration, Cost, Workload

Level = ProvenanceLevel | Literal[""]


@dataclass(frozen=True, kw_only=True)
class Participation:
    """What one client was sent and did, and from when on; `workload` is None where it was gone before it began.

    `configuration` is what its order says is trained. `leaves_seconds` is the simulated second at which it goes away.
    `measures` are those of a real client, `update` the kind of update that it sends, empty if none.
    """

    workload: Workload | None
    partition_id: int
    server_round: int
    bytes_down: int
    bytes_up: int
    group: str
    start_seconds: float
    configuration: Configuration = field(default_factory=dict)
    leaves_seconds: float = inf
    measures: Measures | None = None
    update: str = ""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What a part cost, when its round was over, and why its work is lost if it is.

    `latency_provenance` says how sure the latency is that it was charged for, `energy_provenance` the powers of the
    board and the processors that ran, `memory_provenance` the board's memory and what the work takes of it; "" where
    nothing was computed. `done` is the share of its work that it came to do.
    """

    cost: Cost
    round_ends_seconds: float
    latency_provenance: Level = ""
    energy_provenance: Level = ""
    memory_provenance: Level = ""
    dropout: Dropout | None = None
    reason: str | None = None
    done: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SimulatedPhysics:
    """The boards, the network and the encoder that is trained; the server's bandwidths are None where unlimited."""

    fleet: Fleet
    link: Link
    shape: AnyShape
    server_down_bytes_per_second: float | None = None
    server_up_bytes_per_second: float | None = None

    def device(self, partition_id: int) -> str:
        """Return the name of a partition's board."""
        return self.fleet.profile(partition_id).name

    def bill(self, parts: Sequence[Participation], terms: Mapping[str, RoundTerms]) -> list[Bill]:
        """Return the bill of each part.

        The parts of a group that start together make a round, on the terms of the group (none given: all are waited
        for). A client whose workload cannot be of the model is refused, and is billed for its messages alone. Raises
        UserError for a workload that no table or rule covers.
        """
        needs = self._needs(parts)
        courses = self._courses(parts, needs)
        rounds: dict[tuple[str, float], list[Ending]] = {}
        for part, course in zip(parts, courses, strict=True):
            rounds.setdefault((part.group, part.start_seconds), []).append(course.ending)
        lasted = {key: round_seconds(endings, terms.get(key[0], RoundTerms())) for key, endings in rounds.items()}
        return [
            _bill(part, need, course, lasted[part.group, part.start_seconds], terms.get(part.group, RoundTerms()))
            for part, need, course in zip(parts, needs, courses, strict=True)
        ]

    def _needs(self, parts: Sequence[Participation]) -> list["_Needs"]:
        """Return what the parts need of their boards; those of one board are often sent the same work."""
        profiles = [self.fleet.profile(part.partition_id) for part in parts]
        keys = [(id(profile), part.workload) for profile, part in zip(profiles, parts, strict=True)]
        by_key = dict(zip(keys, profiles, strict=True))
        known = {key: _needs_of(profile, key[1], self.shape) for key, profile in by_key.items()}
        return [known[key] for key in keys]

    def _courses(self, parts: Sequence[Participation], needs: Sequence["_Needs"]) -> list["_Course"]:
        """Let the parts run, each as far as it comes by itself."""
        begins = {at: part.start_seconds for at, part in enumerate(parts) if part.start_seconds < part.leaves_seconds}
        down = self._transfers(parts, begins, "down")
        computed = {at: begin + down[at] + needs[at].compute_seconds for at, begin in begins.items() if needs[at].fits}
        sends = {at: second for at, second in computed.items() if second < parts[at].leaves_seconds}
        up = self._transfers(parts, sends, "up")
        return [_course(part, needs[at], down.get(at), up.get(at)) for at, part in enumerate(parts)]

    def _transfers(
        self, parts: Sequence[Participation], starts: Mapping[int, float], direction: Direction
    ) -> dict[int, float]:
        """Return how long the downloads or uploads take that start at these seconds, by place."""
        transfers = [self._transfer(parts[at], start, direction) for at, start in starts.items()]
        down = direction == "down"
        capacity = self.server_down_bytes_per_second if down else self.server_up_bytes_per_second
        return dict(zip(starts, shared_seconds(transfers, capacity), strict=True))

    def _transfer(self, part: Participation, start_seconds: float, direction: Direction) -> Transfer:
        num_bytes = part.bytes_down if direction == "down" else part.bytes_up
        alone_seconds = self.link.transfer_seconds(
            num_bytes,
            direction=direction,
            partition_id=part.partition_id,
            server_round=part.server_round,
            start_seconds=start_seconds,
        )
        return Transfer(start_seconds=start_seconds, num_bytes=num_bytes, alone_seconds=alone_seconds)


@dataclass(frozen=True, kw_only=True)
class _Needs:
    profile: DeviceProfile
    compute_seconds: float = 0.0
    computing: tuple[Computing, ...] = ()
    memory_bytes: int = 0
    latency_provenance: Level = ""
    energy_provenance: Level = ""
    memory_provenance: Level = ""
    refused: str | None = None  # why the work cannot be what was done

    @property
    def fits(self) -> bool:
        return self.memory_bytes <= self.profile.memory_bytes


@dataclass(frozen=True, kw_only=True)
class _Course:
    """How far a part would come if its round went on for ever."""

    stages: Stages
    ending: Ending


def _needs_of(profile: DeviceProfile, workload: Workload | None, shape: AnyShape) -> _Needs:
    if workload is None:
        return _Needs(profile=profile)
    if problem := misfit(workload.passes, shape):
        return _Needs(profile=profile, refused=problem)
    priced = price(profile, workload, shape)
    if priced.latency_provenance is None or priced.watts_provenance is None or priced.memory_provenance is None:
        return _Needs(profile=profile)
    powers = profile.provenance_level("communicating_watts", "idle_watts")
    return _Needs(
        profile=profile,
        compute_seconds=priced.compute_seconds,
        computing=priced.computing,
        memory_bytes=priced.peak_memory_bytes,
        latency_provenance=priced.latency_provenance,
        energy_provenance=least_sure(priced.watts_provenance, powers),
        memory_provenance=least_sure(priced.memory_provenance, profile.provenance_level("memory_bytes")),
    )


def _course(part: Participation, need: _Needs, down: float | None, up: float | None) -> _Course:
    """Return a part's course; it has a download unless it was gone, an upload if it came so far."""
    stages = Stages(
        download_seconds=down or 0.0,
        compute_seconds=need.compute_seconds if need.fits else 0.0,
        upload_seconds=up or 0.0,
    )
    stays = max(0.0, part.leaves_seconds - part.start_seconds)
    if stays < stages.seconds or down is None or (need.fits and up is None):
        return _Course(stages=stages, ending=Ending(seconds=stays, how="gone"))
    return _Course(stages=stages, ending=Ending(seconds=stages.seconds, how="finished" if need.fits else "failed"))


def _bill(part: Participation, need: _Needs, course: _Course, lasted: float, terms: RoundTerms) -> Bill:
    """Return the bill of a part whose round took `lasted` seconds."""
    ending = course.ending
    if ending.how == "finished" and (ending.seconds <= lasted or terms.late == "carry"):
        bill = _bill_of_done(part, need, course, lasted)
        return replace(bill, dropout="refused", reason=need.refused, done=0.0) if need.refused else bill
    cut_off = lasted < ending.seconds and terms.late == "drop"
    stages = course.stages.until(lasted if cut_off else ending.seconds)
    dropout, reason = _late(lasted) if cut_off else _lost(part, need, ending)
    return replace(_bill_of_lost(part, need, course, stages, lasted), dropout=dropout, reason=reason)


def _bill_of_done(part: Participation, need: _Needs, course: _Course, lasted: float) -> Bill:
    cost = cost_of(
        course.stages,
        profile=need.profile,
        computing=need.computing,
        bytes_down=part.bytes_down,
        bytes_up=part.bytes_up,
        memory_bytes=need.memory_bytes,
        idle_seconds=max(0.0, lasted - course.ending.seconds),
        late_seconds=max(0.0, course.ending.seconds - lasted),
    )
    return _provenance_of(need, Bill(cost=cost, round_ends_seconds=part.start_seconds + lasted))


def _bill_of_lost(part: Participation, need: _Needs, course: _Course, stages: Stages, lasted: float) -> Bill:
    """Return the bill of a part that came as far as `stages` of its course."""
    cost = cost_of(
        stages,
        profile=need.profile,
        computing=need.computing,
        bytes_down=_sent(part.bytes_down, stages.download_seconds, course.stages.download_seconds),
        bytes_up=_sent(part.bytes_up, stages.upload_seconds, course.stages.upload_seconds),
        memory_bytes=need.memory_bytes if stages.compute_seconds else 0,
        late_seconds=max(0.0, stages.seconds - lasted),
    )
    done = stages.compute_seconds / need.compute_seconds if need.compute_seconds else 0.0
    bill = Bill(cost=cost, round_ends_seconds=part.start_seconds + lasted, done=done)
    return _provenance_of(need, bill) if stages.compute_seconds else bill


def _provenance_of(need: _Needs, bill: Bill) -> Bill:
    return replace(
        bill,
        latency_provenance=need.latency_provenance,
        energy_provenance=need.energy_provenance,
        memory_provenance=need.memory_provenance,
    )


def _late(lasted: float) -> tuple[Dropout, str]:
    return "late", f"late: not done when the round was over, after {human_seconds(lasted)}"


def _lost(part: Participation, need: _Needs, ending: Ending) -> tuple[Dropout, str]:
    if ending.how == "gone":
        return "gone", f"went away after {human_seconds(ending.seconds)}" if ending.seconds else "was gone at the start"
    assert part.workload is not None, "only work fails to fit"
    needs, has = human_bytes(need.memory_bytes), human_bytes(need.profile.memory_bytes)
    work = "a forward pass" if part.workload.forward_only else f"depth {part.workload.trained_blocks}"
    return "memory", f"out of memory: {work} needs {needs}, {need.profile.name} has {has}"


def _sent(num_bytes: int, done_seconds: float, whole_seconds: float) -> int:
    return int(num_bytes * (done_seconds / whole_seconds)) if whole_seconds else 0
