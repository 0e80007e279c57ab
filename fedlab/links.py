"""Bandwidth models: how long bytes take between the server and a client."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from fedlab.errors import UserError

Direction = Literal["down", "up"]

_BYTES_PER_UNIT = {
    "B/s": 1.0,
    "kB/s": 1e3,
    "MB/s": 1e6,
    "GB/s": 1e9,
    "bit/s": 1 / 8,
    "kbit/s": 1e3 / 8,
    "Mbit/s": 1e6 / 8,
    "Gbit/s": 1e9 / 8,
}
_AMOUNT = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z]+/s)\s*")


@runtime_checkable
class Link(Protocol):
    """The network between the server and the clients."""

    def transfer_seconds(self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int) -> float:
        """Return the seconds a message of `num_bytes` takes to (`down`) or from (`up`) a client in a round."""
        ...


@dataclass(frozen=True, kw_only=True)
class FixedLink:
    """A symmetric link that never changes: partition i has entry i of the bandwidths, which repeat."""

    bandwidths_bytes_per_second: tuple[float, ...]
    latency_seconds: float

    def transfer_seconds(self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int) -> float:
        """Return the latency plus the bytes over the partition's bandwidth."""
        bandwidth = self.bandwidths_bytes_per_second[partition_id % len(self.bandwidths_bytes_per_second)]
        return self.latency_seconds + num_bytes / bandwidth


def constant(bandwidth: str | float = "1MB/s", latency_seconds: float = 0.0) -> Link:
    """Make a link that is the same for every client; the default is the published study's."""
    return per_client([bandwidth], latency_seconds)


def per_client(bandwidths: Sequence[str | float], latency_seconds: float = 0.0) -> Link:
    """Make a link with a bandwidth a client: partition i has entry i, modulo the length of the list."""
    if isinstance(bandwidths, str) or not bandwidths:
        raise UserError(f"link: bandwidths is {bandwidths!r}, expected a list such as ['1MB/s', '8Mbit/s']")
    if not (math.isfinite(latency_seconds) and latency_seconds >= 0):
        raise UserError(f"link: latency_seconds is {latency_seconds}, expected a number from 0 up")
    speeds = tuple(parse_bandwidth(bandwidth) for bandwidth in bandwidths)
    return FixedLink(bandwidths_bytes_per_second=speeds, latency_seconds=latency_seconds)


def parse_bandwidth(bandwidth: str | float) -> float:
    """Return a bandwidth in bytes per second.

    Text has a unit, whose prefixes are powers of 1000 ('1MB/s' and '8Mbit/s' are 1e6); a number is bytes per second.
    Raises UserError for anything else, and for what is not above zero.
    """
    speed = _parse_text(bandwidth) if isinstance(bandwidth, str) else bandwidth
    if speed is None or isinstance(speed, bool) or not (math.isfinite(speed) and speed > 0):
        raise UserError(
            f"bandwidth {bandwidth!r} is not usable: expected a number above zero with a unit of "
            f"{', '.join(_BYTES_PER_UNIT)} (such as '1MB/s'), or a plain number of bytes per second"
        )
    return float(speed)


def _parse_text(text: str) -> float | None:
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2] not in _BYTES_PER_UNIT:
        return None
    try:
        return float(match[1]) * _BYTES_PER_UNIT[match[2]]
    except ValueError:  # digits and dots that are no number, such as 1.2.3
        return None
