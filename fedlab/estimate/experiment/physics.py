"""The physics of a run whose messages are stand-ins: parts are billed for the bytes of the real ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedlab.billing.simulated import Bill, Participation, SimulatedPhysics
from fedlab.estimate.slot import Traffic
from fedlab.messages.orders import PREFILL_GROUP
from fedlab.messages.round_terms import RoundTerms
from fedlab.models.peft.base import size_of
from fedlab.workload.shape import AnyShape
from fedlab.workload.workload import Configuration, Workload


@dataclass(frozen=True, kw_only=True)
class PlannedPhysics:
    """Bills parts as `physics` does, with the traffic of their depth and width.

    Messages that hold no arrays have the size they will have.
    """

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
        traffic = self.traffic(*_axes(part.configuration, part.workload, self.physics.shape))
        return replace(
            part,
            bytes_down=part.bytes_down if part.group == PREFILL_GROUP else traffic.bytes_down,
            bytes_up=traffic.bytes_up if _brings_arrays(part, part.workload) else part.bytes_up,
        )


def _brings_arrays(part: Participation, workload: Workload) -> bool:
    """Tell whether the reply has the arrays of a model, which clients without backpropagation may send, too."""
    return part.update != "scalars" and (bool(part.update) or not workload.forward_only)


def _axes(configuration: Configuration, workload: Workload, shape: AnyShape) -> tuple[int, int]:
    """Return depth and width of the model in a message, of the order's or of what was trained where it does not say."""
    whole = shape.blocks if configuration.get("set") == "everything" else workload.trained_blocks
    return int(configuration.get("depth", whole)), size_of(configuration)
