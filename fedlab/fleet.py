"""Which board each client is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedlab.devices import DeviceProfile, load_profile
from fedlab.errors import UserError
from fedlab.seeds import generator


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The boards of all clients, by partition id."""

    profiles: tuple[DeviceProfile, ...]

    def profile(self, partition_id: int) -> DeviceProfile:
        """Return the board of a partition."""
        assert 0 <= partition_id < len(self.profiles), f"partition {partition_id} of {len(self.profiles)}"
        return self.profiles[partition_id]


def build_fleet(shares: Mapping[str, float], num_clients: int, seed: int, base: Path) -> Fleet:
    """Give each partition a board, in the proportions of `shares`, in an order drawn from the seed.

    `shares` maps a profile's name or path (relative ones start at `base`) to its share of the clients; shares need
    not add up to one. Counts are exact, by largest remainder. Raises UserError for an unknown or broken profile.
    """
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise UserError(f"fleet: shares {dict(shares)} cannot be dealt, expected a device with a positive share")
    counts = apportion(tuple(shares.values()), num_clients)
    profiles = [load_profile(name, base) for name in shares]
    dealt = [profile for profile, count in zip(profiles, counts, strict=True) for _ in range(count)]
    order = generator(seed, "fleet").permutation(num_clients)
    return Fleet(profiles=tuple(dealt[index] for index in order))


def apportion(shares: tuple[float, ...], total: int) -> tuple[int, ...]:
    """Split a total into whole counts closest to the shares (largest remainder; a tie goes to the earlier share)."""
    quotas = [total * share / sum(shares) for share in shares]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda index: counts[index] - quotas[index])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return tuple(counts)
