"""How trials end that nobody trains for: what stands in for the accuracy of a model."""

from collections.abc import Callable, Sequence
from typing import Literal

from fedlab.common.arrays import Arrays
from fedlab.estimate.experiment.clients import PlannedClients
from fedlab.estimate.trajectory import Segment
from fedlab.server.context import Measure
from fedlab.workload.workload import Configuration

# Makes the measure of a run, given its planned clients.
Judge = Callable[[PlannedClients], Measure]
Split = Literal["validation", "test"]

_DEPTH_COUNTS = 1000.0  # widths that a block more or less is as far as


def cheapest(clients: PlannedClients) -> Measure:
    """Judge all models alike: every trial is won by the group that stayed as it was."""

    def measure(arrays: Arrays, split: Split, configuration: Configuration) -> float:
        return 0.0

    return measure


def dearest(clients: PlannedClients) -> Measure:
    """Judge models by their size: every trial is won by the largest."""

    def measure(arrays: Arrays, split: Split, configuration: Configuration) -> float:
        return float(sum(array.size for array in arrays.values()))

    return measure


def following(trajectory: Sequence[Segment]) -> Judge:
    """Judge models by how near they are to what a trajectory says of the next round."""

    def judge(clients: PlannedClients) -> Measure:
        def measure(arrays: Arrays, split: Split, configuration: Configuration) -> float:
            depth, width = int(configuration["depth"]), int(configuration["width"])
            wanted = _at(trajectory, clients.server_round + 1)
            widths = abs(width - wanted.width) if depth else 0
            return -(_DEPTH_COUNTS * abs(depth - wanted.depth) + widths)

        return measure

    return judge


def _at(trajectory: Sequence[Segment], server_round: int) -> Segment:
    """Return what is trained in a round; after the last one, what was trained in it."""
    return next((segment for segment in trajectory if segment.last_round >= server_round), trajectory[-1])
