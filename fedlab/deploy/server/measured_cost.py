"""Bills of real clients: what they measured, in the place of what the physics computes for simulated ones."""

from collections.abc import Callable, Mapping, Sequence

from fedlab.billing.costs import Stages
from fedlab.billing.simulated import Bill, Participation
from fedlab.devices.profile import DeviceProfile
from fedlab.messages.measurements import Measures
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.passes import DEFAULT_PROCESSOR
from fedlab.workload.workload import Cost, Workload

_NOTHING = Measures(compute_seconds=0.0, prepare_seconds=0.0, peak_memory_bytes=0)


class Measured:
    """Bills parts by what their clients measured; a round ends when its last answer is there.

    What of the round a client was neither computing nor on the network is idle time: it prepared its data, waited for
    others, or for the engine's next poll. `board` returns what a client says it runs on, and the profile of that board
    if there is one: joules are its power over the measured seconds, 0 where no power is known.
    """

    def __init__(
        self,
        *,
        now_seconds: Callable[[], float],
        board: Callable[[int], tuple[str, DeviceProfile | None]],
    ) -> None:
        self._now_seconds = now_seconds
        self._board = board

    def device(self, partition_id: int) -> str:
        """Return the name of the machine a partition lies on."""
        return self._board(partition_id)[0]

    def bill(self, parts: Sequence[Participation], terms: Mapping[str, RoundTerms]) -> list[Bill]:
        """Return the bill of each part; the terms of their rounds were kept by whoever waited for them."""
        now = self._now_seconds()
        return [self._bill(part, now) for part in parts]

    def _bill(self, part: Participation, now_seconds: float) -> Bill:
        cost = _cost(part, self._board(part.partition_id)[1], now_seconds)
        return Bill(cost=cost, round_ends_seconds=now_seconds, latency_provenance="measured" if part.measures else "")


def _cost(part: Participation, profile: DeviceProfile | None, now_seconds: float) -> Cost:
    measures = part.measures or _NOTHING
    stages = Stages(
        download_seconds=measures.download_seconds or 0.0,
        compute_seconds=measures.compute_seconds,
        upload_seconds=measures.upload_seconds(part.bytes_up),
    )
    idle_seconds = max(0.0, now_seconds - part.start_seconds - stages.seconds)
    computing, communicating, idle = _watts(profile, part.workload)
    return Cost(
        compute_seconds=stages.compute_seconds,
        download_seconds=stages.download_seconds,
        upload_seconds=stages.upload_seconds,
        compute_joules=computing * stages.compute_seconds,
        transfer_joules=communicating * (stages.download_seconds + stages.upload_seconds),
        bytes_down=part.bytes_down,
        bytes_up=part.bytes_up,
        peak_memory_bytes=measures.peak_memory_bytes,
        idle_seconds=idle_seconds,
        idle_joules=idle * idle_seconds,
    )


def _watts(profile: DeviceProfile | None, workload: Workload | None) -> tuple[float, float, float]:
    if profile is None:
        return 0.0, 0.0, 0.0
    return _computing_watts(profile, workload), profile.communicating_watts, profile.idle_watts


def _computing_watts(profile: DeviceProfile, workload: Workload | None) -> float:
    """Return the power of the one processor that ran; 0 where it is unknown, or where several shared the time."""
    names = {each.processor for each in workload.passes} if workload else set()
    known = {
        profile.processors[name].computing_watts for name in names or {DEFAULT_PROCESSOR} if name in profile.processors
    }
    return known.pop() if len(known) == 1 and len(names) <= 1 else 0.0
