"""Links whose bandwidth is drawn from a distribution, or read from a table of measurements."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Literal

from fedlab.common.csv_numbers import NumberRow, number_rows
from fedlab.common.seeds import generator
from fedlab.common.units import is_number, parse_bandwidth
from fedlab.errors import UserError
from fedlab.network.links import BandwidthLink, Direction, Link, check_latency

Per = Literal["client", "round"]
Quantile = Callable[[float], float]  # from a share of the draws, 0 to 1, to the bandwidth that this share lies below

_STANDARD = NormalDist()
_SMALLEST_SHARE = 1e-12  # cuts the tails of the normal distribution, which are infinite
_MOST_SIGMA = 10  # one standard deviation is then a factor of 22,000
_LEAST_SHARE_OF_MEAN = 0.01  # keeps a normal distribution above zero, where a transfer would never end
_COLUMNS = ("partition_id", "down_bytes_per_second", "up_bytes_per_second")
_DEVIATIONS = ("down_sigma_bytes_per_second", "up_sigma_bytes_per_second")


@dataclass(frozen=True, kw_only=True)
class DrawnBandwidth:
    """A bandwidth drawn once for each client, or for each client and round; down and up share the draw."""

    quantile: Quantile
    per: Per
    seed: int

    def __call__(self, *, direction: Direction, partition_id: int, server_round: int) -> float:
        """Return the draw of this partition, or of this partition and round."""
        keys = (partition_id,) if self.per == "client" else (partition_id, server_round)
        return self.quantile(generator(self.seed, "link", *keys).random())


@dataclass(frozen=True, kw_only=True)
class Speed:
    """A measured bandwidth: its mean and standard deviation."""

    mean_bytes_per_second: float
    sigma_bytes_per_second: float

    def quantile(self, share: float) -> float:
        """Return the bandwidth below which this share of draws lies: normal, truncated at a hundredth of the mean."""
        mean, sigma = self.mean_bytes_per_second, self.sigma_bytes_per_second
        if sigma == 0:
            return mean
        least = mean * _LEAST_SHARE_OF_MEAN
        return max(least, mean + sigma * _truncated_normal((least - mean) / sigma, math.inf, share))


@dataclass(frozen=True, kw_only=True)
class MeasuredBandwidth:
    """Measured bandwidths: partition i has row i, modulo the number of rows."""

    down: tuple[Speed, ...]
    up: tuple[Speed, ...]
    seed: int

    def __call__(self, *, direction: Direction, partition_id: int, server_round: int) -> float:
        """Return the row's mean, or a draw for this round and direction if the row has a deviation."""
        speeds = self.down if direction == "down" else self.up
        speed = speeds[partition_id % len(speeds)]
        if speed.sigma_bytes_per_second == 0:
            return speed.mean_bytes_per_second
        return speed.quantile(generator(self.seed, f"link.{direction}", partition_id, server_round).random())


def uniform(
    low: str | float, high: str | float, per: Per = "round", latency_seconds: float = 0.0, seed: int = 0
) -> Link:
    """Make a link of uniform bandwidth from low to high, drawn for each client and round (or per = 'client')."""
    slow, fast = parse_bandwidth(low), parse_bandwidth(high)
    if fast < slow:
        raise UserError(f"link: low is {low!r} and high is {high!r}, expected low to be at most high")

    def quantile(share: float) -> float:
        return (1 - share) * slow + share * fast  # in this form rounding never makes a faster link slower

    return _drawn(quantile, per, seed, latency_seconds)


def log_normal(
    median: str | float = "1MB/s",
    sigma: float = 0.5,
    minimum: str | float | None = None,
    maximum: str | float | None = None,
    per: Per = "round",
    latency_seconds: float = 0.0,
    seed: int = 0,
) -> Link:
    """Make a link of log-normal bandwidth, drawn for each client and round (or per = 'client').

    `sigma` is the standard deviation of the natural logarithm. The distribution is truncated (not clipped) at `minimum`
    and `maximum`; the median must lie between them.
    """
    middle = parse_bandwidth(median)
    least = 0.0 if minimum is None else parse_bandwidth(minimum)
    most = math.inf if maximum is None else parse_bandwidth(maximum)
    if not least <= middle <= most:
        raise UserError(f"link: median {median!r} is not between minimum {minimum!r} and maximum {maximum!r}")
    if not is_number(sigma) or not 0 <= sigma <= _MOST_SIGMA:
        raise UserError(f"link: sigma is {sigma!r}, expected a number from 0 to {_MOST_SIGMA}")

    def quantile(share: float) -> float:
        if sigma == 0:
            return middle
        low = math.log(least / middle) / sigma if least > 0 else -math.inf
        high = math.log(most / middle) / sigma
        return min(max(least, middle * math.exp(sigma * _truncated_normal(low, high, share))), most)

    return _drawn(quantile, per, seed, latency_seconds)


def table(path: str, latency_seconds: float = 0.0, seed: int = 0, base_folder: str = ".") -> Link:
    """Make a link of measured bandwidths, one line for each client of a CSV file; `fedlab import-traces` writes them.

    The columns are partition_id, down_bytes_per_second and up_bytes_per_second. Optional columns are
    down_sigma_bytes_per_second and up_sigma_bytes_per_second, for bandwidths that vary from round to round. Partition i
    has the i-th of the ids in the file, counted from 0 and modulo their number. Raises UserError with file and line if
    the file has another form.
    """
    rows: dict[int, NumberRow] = {}
    for row in number_rows(Path(base_folder) / Path(path).expanduser(), _COLUMNS, _DEVIATIONS):
        if rows.setdefault(row.partition_id(), row) is not row:
            raise UserError(f"{row.place}: partition_id {row.partition_id()} is given twice, expected once")
    ordered = [rows[partition_id] for partition_id in sorted(rows)]
    measured = MeasuredBandwidth(
        down=tuple(_speed(row, "down") for row in ordered), up=tuple(_speed(row, "up") for row in ordered), seed=seed
    )
    return BandwidthLink(bandwidth=measured, latency_seconds=check_latency(latency_seconds))


def _drawn(quantile: Quantile, per: Per, seed: int, latency_seconds: float) -> Link:
    if per not in ("client", "round"):
        raise UserError(f"link: per is {per!r}, accepted: client, round")
    drawn = DrawnBandwidth(quantile=quantile, per=per, seed=seed)
    return BandwidthLink(bandwidth=drawn, latency_seconds=check_latency(latency_seconds))


def _speed(row: NumberRow, direction: Direction) -> Speed:
    sigma = f"{direction}_sigma_bytes_per_second"
    return Speed(
        mean_bytes_per_second=row.positive(f"{direction}_bytes_per_second"),
        sigma_bytes_per_second=row.not_negative(sigma) if sigma in row.values else 0.0,
    )


def _truncated_normal(low: float, high: float, share: float) -> float:
    """Return the quantile of a standard normal distribution truncated at low and high, where low <= 0 <= high."""
    below, within = _STANDARD.cdf(low), _STANDARD.cdf(high) - _STANDARD.cdf(low)
    return _STANDARD.inv_cdf(min(max(below + within * share, _SMALLEST_SHARE), 1 - _SMALLEST_SHARE))
