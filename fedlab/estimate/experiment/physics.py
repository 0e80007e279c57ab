"""The physics of a run whose messages are stand-ins: parts are billed for the bytes of the real ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedlab.billing.simulated import Bill, Participation, SimulatedPhysics
from fedlab.estimate.slot import Traffic
from fedlab.estimate.wire import ORDER_BYTES, REPLY_BYTES
from fedlab.messages.round_terms import RoundTerms
from fedlab.workload.workload import FORWARD_ONLY


@dataclass(frozen=True, kw_only=True)
class PlannedPhysics:
    """Bills parts as `physics` does, with the traffic of their depth and width."""

    physics: SimulatedPhysics
    traffic: Callable[[int, int], Traffic]

    def bill(self, parts: Sequence[Participation], terms: Mapping[str, RoundTerms]) -> list[Bill]:
        """Return the bill of each part."""
        return self.physics.bill([self._sized(part) for part in parts], terms)

    def device(self, partition_id: int) -> str:
        """Return the name of a partition's board."""
        return self.physics.device(partition_id)

    def _sized(self, part: Participation) -> Participation:
        if part.workload is None:
            return part
        traffic, method = self.traffic(part.workload.depth, part.workload.width), part.workload.method
        return replace(
            part,
            bytes_down=ORDER_BYTES if method == "prefill" else traffic.bytes_down,
            bytes_up=REPLY_BYTES if method in FORWARD_ONLY else traffic.bytes_up,
        )
