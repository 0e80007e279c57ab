"""What one client's part in a round costs: its stages and its energy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fedlab.devices.costmodel.base import Computing, price
from fedlab.devices.profile import DeviceProfile
from fedlab.network.links import Link
from fedlab.workload.shape import AnyShape
from fedlab.workload.workload import Cost, Workload


@dataclass(frozen=True, kw_only=True)
class Stages:
    """How long each stage of a client's part takes, one after the other."""

    download_seconds: float = 0.0
    compute_seconds: float = 0.0
    upload_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """The whole part, in the order it is done."""
        return self.download_seconds + self.compute_seconds + self.upload_seconds

    def until(self, seconds: float) -> "Stages":
        """Return the stages as far as they have come by then, in seconds from their start."""
        if seconds >= self.seconds:
            return self
        computing = max(0.0, seconds - self.download_seconds)
        return Stages(
            download_seconds=min(self.download_seconds, seconds),
            compute_seconds=min(self.compute_seconds, computing),
            upload_seconds=max(0.0, computing - self.compute_seconds),
        )


def charge(
    workload: Workload,
    *,
    profile: DeviceProfile,
    link: Link,
    shape: AnyShape,
    bytes_down: int,
    bytes_up: int,
    partition_id: int,
    server_round: int,
    start_seconds: float = 0.0,
) -> Cost:
    """Return what a workload costs a client that has the server to itself.

    The download starts at `start_seconds` of simulated time, the upload when the work is done. Raises UserError for a
    workload that no table or rule covers.
    """
    needs = price(profile, workload, shape)
    transfer = partial(link.transfer_seconds, partition_id=partition_id, server_round=server_round)
    down = transfer(bytes_down, direction="down", start_seconds=start_seconds)
    up = transfer(bytes_up, direction="up", start_seconds=start_seconds + down + needs.compute_seconds)
    return cost_of(
        Stages(download_seconds=down, compute_seconds=needs.compute_seconds, upload_seconds=up),
        profile=profile,
        computing=needs.computing,
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        memory_bytes=needs.peak_memory_bytes,
    )


def cost_of(
    stages: Stages,
    *,
    profile: DeviceProfile,
    computing: Sequence[Computing],
    bytes_down: int,
    bytes_up: int,
    memory_bytes: int,
    idle_seconds: float = 0.0,
    late_seconds: float = 0.0,
) -> Cost:
    """Return the cost of stages on a board, each at the board's power for it.

    `computing` is what the processors do in turn if the stage of computing is not cut off.
    """
    transfer_seconds = stages.download_seconds + stages.upload_seconds
    return Cost(
        compute_seconds=stages.compute_seconds,
        download_seconds=stages.download_seconds,
        upload_seconds=stages.upload_seconds,
        compute_joules=compute_joules(computing, stages.compute_seconds),
        transfer_joules=profile.communicating_watts * transfer_seconds,
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        peak_memory_bytes=memory_bytes,
        idle_seconds=idle_seconds,
        idle_joules=profile.idle_watts * idle_seconds,
        late_seconds=late_seconds,
    )


def compute_joules(computing: Sequence[Computing], seconds: float) -> float:
    """Return the energy of computing, by seconds and by the power of the processors that ran in them."""
    if len(computing) == 1:
        return computing[0].watts * seconds
    joules, left = 0.0, seconds
    for stretch in computing:
        joules += stretch.watts * min(stretch.seconds, left)
        left -= min(stretch.seconds, left)
    return joules
