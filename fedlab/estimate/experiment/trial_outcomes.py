"""Outcomes of trials in an estimate, where no model is trained: substitutes for the accuracy."""

from collections.abc import Callable, Sequence
from typing import Literal

from fedlab.common.arrays import Arrays
from fedlab.estimate.experiment.clients import PlannedClients
from fedlab.estimate.trajectory import Segment
from fedlab.models.peft.base import size_of
from fedlab.server.context import Measure
from fedlab.workload.workload import Configuration

# Makes the measure of a run, given its planned clients.
Judge = Callable[[PlannedClients], Measure]
HeldOutSplit = Literal["validation", "test"]

_DEPTH_COUNTS = 1000.0  # one block of difference counts as much as this difference in width


def cheapest(clients: PlannedClients) -> Measure:
    """Give all models the same accuracy: the group that kept its configuration wins every trial."""

    def measure(arrays: Arrays, split: HeldOutSplit, configuration: Configuration) -> float:
        return 0.0

    return measure


def dearest(clients: PlannedClients) -> Measure:
    """Use the size of a model as its accuracy: the largest wins every trial."""

    def measure(arrays: Arrays, split: HeldOutSplit, configuration: Configuration) -> float:
        return float(sum(array.size for array in arrays.values()))

    return measure


def following(trajectory: Sequence[Segment]) -> Judge:
    """Give a model a higher accuracy the nearer it is to the trajectory's configuration in the next round."""

    def judge(clients: PlannedClients) -> Measure:
        def measure(arrays: Arrays, split: HeldOutSplit, configuration: Configuration) -> float:
            depth, width = int(configuration["depth"]), size_of(configuration)
            wanted = _at(trajectory, clients.server_round + 1)
            widths = abs(width - wanted.width) if depth else 0
            return -(_DEPTH_COUNTS * abs(depth - wanted.depth) + widths)

        return measure

    return judge


def _at(trajectory: Sequence[Segment], server_round: int) -> Segment:
    """Return the segment of a round; the last segment also holds for all later rounds."""
    return next((segment for segment in trajectory if segment.last_round >= server_round), trajectory[-1])
