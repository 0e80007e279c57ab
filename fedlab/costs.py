"""What one client's part in a round costs: the whole of the simulated physics as one pure function."""

from collections.abc import Iterable

from fedlab.devices import DeviceProfile
from fedlab.links import Link
from fedlab.scaling import compute_seconds, peak_memory_bytes
from fedlab.workload import Cost, EncoderShape, Workload


def charge(
    workload: Workload,
    *,
    profile: DeviceProfile,
    link: Link,
    shape: EncoderShape,
    bytes_down: int,
    bytes_up: int,
    partition_id: int,
    server_round: int,
) -> Cost:
    """Return what a workload costs on a board, with the bytes of its messages moved over a link.

    Raises UserError where the profile lacks a table for the workload's method.
    """
    down = link.transfer_seconds(bytes_down, direction="down", partition_id=partition_id, server_round=server_round)
    up = link.transfer_seconds(bytes_up, direction="up", partition_id=partition_id, server_round=server_round)
    compute = compute_seconds(profile, workload, shape)
    return Cost(
        compute_seconds=compute,
        download_seconds=down,
        upload_seconds=up,
        joules=energy_joules(profile, compute_seconds=compute, transfer_seconds=down + up),
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        peak_memory_bytes=peak_memory_bytes(profile, workload, shape),
    )


def energy_joules(profile: DeviceProfile, *, compute_seconds: float, transfer_seconds: float) -> float:
    """Return the energy of computing and then communicating, each at the board's power for it."""
    return profile.computing_watts * compute_seconds + profile.communicating_watts * transfer_seconds


def round_seconds(costs: Iterable[Cost]) -> float:
    """Return how long a synchronous round lasts: as long as its slowest participant; nobody took part, no time."""
    return max((cost.seconds for cost in costs), default=0.0)
