"""What one client's part in a round costs: its stages and its energy."""

from dataclasses import dataclass
from functools import partial

from fedlab.devices.costmodel.transformer import compute_seconds, peak_memory_bytes
from fedlab.devices.profile import DeviceProfile
from fedlab.network.links import Link
from fedlab.workload.shape import ModelShape
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
        """Return the stages as far as they have come after so many seconds."""
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
    shape: ModelShape,
    bytes_down: int,
    bytes_up: int,
    partition_id: int,
    server_round: int,
    start_seconds: float = 0.0,
) -> Cost:
    """Return what a workload costs a client that has the server to itself.

    The download starts at `start_seconds` of simulated time, the upload when the work is done. Raises UserError where
    the profile lacks a table for the workload's method.
    """
    compute = compute_seconds(profile, workload, shape)
    transfer = partial(link.transfer_seconds, partition_id=partition_id, server_round=server_round)
    down = transfer(bytes_down, direction="down", start_seconds=start_seconds)
    up = transfer(bytes_up, direction="up", start_seconds=start_seconds + down + compute)
    return cost_of(
        Stages(download_seconds=down, compute_seconds=compute, upload_seconds=up),
        profile=profile,
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        memory_bytes=peak_memory_bytes(profile, workload, shape),
    )


def cost_of(
    stages: Stages,
    *,
    profile: DeviceProfile,
    bytes_down: int,
    bytes_up: int,
    memory_bytes: int,
    idle_seconds: float = 0.0,
    late_seconds: float = 0.0,
) -> Cost:
    """Return the cost of stages on a board, each at the board's power for it."""
    transfer_seconds = stages.download_seconds + stages.upload_seconds
    return Cost(
        compute_seconds=stages.compute_seconds,
        download_seconds=stages.download_seconds,
        upload_seconds=stages.upload_seconds,
        compute_joules=profile.computing_watts * stages.compute_seconds,
        transfer_joules=profile.communicating_watts * transfer_seconds,
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        peak_memory_bytes=memory_bytes,
        idle_seconds=idle_seconds,
        idle_joules=profile.idle_watts * idle_seconds,
        late_seconds=late_seconds,
    )
