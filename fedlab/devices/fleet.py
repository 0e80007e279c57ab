"""Which board each client is, and how fast."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedlab.common.seeds import generator
from fedlab.config.schema import FleetTable
from fedlab.devices.profile import DeviceProfile, at_throughput, load_profile
from fedlab.devices.throughput import relative_throughputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Fleet:
    """The boards of all clients, by partition id: for each which of a few profiles, and how many times as fast."""

    profiles: tuple[DeviceProfile, ...]
    places: np.ndarray  # of each client's profile among `profiles`, integers [clients]
    relative_throughputs: np.ndarray | None  # float64 [clients]; None: all are as profiled

    def __len__(self) -> int:
        return len(self.places)

    def profile(self, partition_id: int) -> DeviceProfile:
        """Return the board of a partition; one of another throughput has it in its name, as in `jetson-tx2 x0.45`."""
        assert 0 <= partition_id < len(self), f"partition {partition_id} of {len(self)}"
        profile = self.profiles[int(self.places[partition_id])]
        if self.relative_throughputs is None:
            return profile
        return at_throughput(profile, float(self.relative_throughputs[partition_id]))


def build_fleet(table: FleetTable, num_clients: int, seed: int, base: Path) -> Fleet:
    """Give each partition a board in the proportions of the shares, in an order drawn from the seed, and a throughput.

    Paths of profiles and of throughputs start at `base`. Shares need not add up to one; counts are exact, by largest
    remainder. Raises UserError for an unknown or broken profile, or a broken file of throughputs.
    """
    counts = apportion(tuple(table.devices.values()), num_clients)
    profiles = [load_profile(name, base) for name in table.devices]
    if not table.memory_limit:
        profiles = [replace(profile, memory_bytes=sys.maxsize) for profile in profiles]
    order = generator(seed, "fleet").permutation(num_clients)
    return Fleet(
        profiles=tuple(profiles),
        places=np.repeat(np.arange(len(counts)), counts)[order],
        relative_throughputs=relative_throughputs(table.throughput, num_clients, seed, base),
    )


def apportion(shares: tuple[float, ...], total: int) -> tuple[int, ...]:
    """Split a total into whole counts closest to the shares (largest remainder; a tie goes to the earlier share)."""
    quotas = [total * share / sum(shares) for share in shares]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda index: counts[index] - quotas[index])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return tuple(counts)
