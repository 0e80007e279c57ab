"""A link that is slower up than down, and slow for all clients in every third round."""

from dataclasses import dataclass

from fedlab.api import Link, parse_bandwidth


@dataclass(frozen=True, kw_only=True)
class MobileLink:
    down_bytes_per_second: float
    up_bytes_per_second: float

    def transfer_seconds(
        self, num_bytes: int, *, direction: str, partition_id: int, server_round: int, start_seconds: float
    ) -> float:
        speed = self.down_bytes_per_second if direction == "down" else self.up_bytes_per_second
        return num_bytes / (speed / 10 if server_round % 3 == 0 else speed)


def mobile(*, down: str = "20Mbit/s", up: str = "5Mbit/s") -> Link:
    return MobileLink(down_bytes_per_second=parse_bandwidth(down), up_bytes_per_second=parse_bandwidth(up))
