"""Traces: the cumulative bytes that a recorded network carries over time, and their file formats."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fedlab.common.csv_numbers import number_rows
from fedlab.common.text_lines import numbered_lines
from fedlab.common.units import is_number
from fedlab.errors import UserError

_PACKET_BYTES = 1500  # one line of a packet-delivery file, see mm-link(1) of Mahimahi
_SLACK_BYTES = (
    0.01  # less than this is a rounding error (messages are whole bytes) and does not wait for an outage to end
)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Cumulative bytes over seconds: a piecewise linear curve that rises from (0, 0).

    After the last point the trace repeats if `tail_bytes_per_second` is None, else it continues at that rate for ever.
    """

    seconds: tuple[float, ...]
    num_bytes: tuple[float, ...]
    tail_bytes_per_second: float | None

    @property
    def period_seconds(self) -> float | None:
        """The seconds after which the trace repeats, None if it does not."""
        return self.seconds[-1] if self.tail_bytes_per_second is None else None

    def transfer_seconds(self, num_bytes: int, start_seconds: float) -> float:
        """Return the seconds that bytes take from `start_seconds` of simulated time on (two binary searches)."""
        if num_bytes <= 0:
            return 0.0
        # Within the first period the numbers are small, and so are their rounding errors.
        start = start_seconds if self.period_seconds is None else start_seconds % self.period_seconds
        return max(0.0, self._second_of(self._bytes_by(start) + num_bytes) - start)

    def _bytes_by(self, second: float) -> float:
        past = bisect_right(self.seconds, second)
        if past == len(self.seconds):
            return self.num_bytes[-1] + (self.tail_bytes_per_second or 0.0) * (second - self.seconds[-1])
        return _between(second, self.seconds, self.num_bytes, past)

    def _second_of(self, num_bytes: float) -> float:
        """Return the first second, from the start of the trace, by which `num_bytes` have passed."""
        if self.tail_bytes_per_second is None:
            return self._second_of_looped(num_bytes)
        if num_bytes - _SLACK_BYTES > self.num_bytes[-1]:
            return self.seconds[-1] + (num_bytes - self.num_bytes[-1]) / self.tail_bytes_per_second
        return self._second_within(num_bytes, _SLACK_BYTES)

    def _second_of_looped(self, num_bytes: float) -> float:
        each = self.num_bytes[-1]
        slack = min(_SLACK_BYTES, each * 1e-4)
        periods = (num_bytes - slack) // each
        rest = num_bytes - periods * each
        if rest <= slack and periods > 0:  # the last byte passes when the last period ends, or before
            periods, rest = periods - 1, rest + each
        return periods * self.seconds[-1] + self._second_within(rest, slack)

    def _second_within(self, num_bytes: float, slack: float) -> float:
        past = bisect_left(self.num_bytes, min(num_bytes - slack, self.num_bytes[-1]))
        return _between(min(num_bytes, self.num_bytes[past]), self.num_bytes, self.seconds, past)


def read_trace(path: Path, period_seconds: float | None = None) -> Trace:
    """Read a trace: CSV if its name ends in .csv (or .csv.gz), otherwise a packet-delivery file.

    Raises:
        UserError: a line does not follow the format (the message names file, line and what is accepted), or the trace
            never carries a byte.
    """
    if path.name.endswith((".csv", ".csv.gz")):
        return _read_csv(path, period_seconds)
    if period_seconds is not None:
        raise UserError(f"{path}: period_seconds is for CSV; a packet-delivery file repeats after its last line")
    return _read_packets(path)


def trace_of_rates(
    seconds: Sequence[float], bytes_per_second: Sequence[float], period_seconds: float | None = None
) -> Trace:
    """Return the trace of bandwidths, each of which holds until the next of `seconds`; the first second is 0.

    The last bandwidth holds until the period ends or, without a period, for ever.
    """
    points = [*seconds] if period_seconds is None else [*seconds, period_seconds]
    passed = [0.0]
    for (start, end), rate in zip(pairwise(points), bytes_per_second, strict=False):
        passed.append(passed[-1] + rate * (end - start))
    tail = bytes_per_second[-1] if period_seconds is None else None
    return Trace(seconds=tuple(points), num_bytes=tuple(passed), tail_bytes_per_second=tail)


def _between(x: float, xs: Sequence[float], ys: Sequence[float], index: int) -> float:
    """Interpolate y at x, between point index - 1 and point index."""
    share = (x - xs[index - 1]) / (xs[index] - xs[index - 1])
    return ys[index - 1] + share * (ys[index] - ys[index - 1])


def _read_csv(path: Path, period_seconds: float | None) -> Trace:
    seconds: list[float] = []
    rates: list[float] = []
    for row in number_rows(path, ("seconds", "bytes_per_second")):
        second = row.values["seconds"]
        starts_right = second > seconds[-1] if seconds else second == 0
        if not starts_right:
            raise UserError(
                f"{row.place}: seconds is {second:g}, expected 0 in the first row and a rise in every other"
            )
        seconds.append(second)
        rates.append(row.not_negative("bytes_per_second"))
    if period_seconds is None and rates[-1] == 0:
        raise UserError(
            f"{path}: the last bytes_per_second is 0 and would hold for ever; give period_seconds, or end above 0"
        )
    if period_seconds is not None and not (is_number(period_seconds) and period_seconds > seconds[-1]):
        raise UserError(f"{path}: period_seconds is {period_seconds!r}, expected more than its last, {seconds[-1]:g}")
    if not any(rates):
        raise UserError(f"{path}: bytes_per_second is 0 in every row, so no message would ever arrive")
    return trace_of_rates(seconds, rates, period_seconds)


def _read_packets(path: Path) -> Trace:
    """Read a packet-delivery file; the packets of a timestamp pass evenly in the millisecond that ends at it."""
    packets: Counter[int] = Counter()
    last = 0
    for number, line in numbered_lines(path):
        text = line.strip()
        if not text:
            continue
        if not (text.isascii() and text.isdigit() and len(text) < 16) or int(text) < last:
            raise UserError(
                f"{path}, line {number}: '{text[:40]}', expected whole milliseconds, not less than in the line before"
            )
        last = int(text)
        packets[last] += 1
    if last == 0:
        raise UserError(f"{path}: no timestamp above 0 ms: the last one is the period, after which the file repeats")
    packets[last] += packets.pop(0, 0)  # millisecond 0 is the moment at which the file repeats
    return _trace_of_packets(packets)


def _trace_of_packets(packets: Counter[int]) -> Trace:
    seconds, num_bytes = [0.0], [0.0]
    for millisecond in sorted(packets):
        if (millisecond - 1) / 1000 > seconds[-1]:  # nothing passes in between
            seconds.append((millisecond - 1) / 1000)
            num_bytes.append(num_bytes[-1])
        seconds.append(millisecond / 1000)
        num_bytes.append(num_bytes[-1] + packets[millisecond] * _PACKET_BYTES)
    return Trace(seconds=tuple(seconds), num_bytes=tuple(num_bytes), tail_bytes_per_second=None)
