"""Links whose bandwidth changes during a transfer, as recorded on real networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlab.common.seeds import generator
from fedlab.errors import UserError
from fedlab.network.links import Direction, Link, check_latency
from fedlab.network.traces import Trace, read_trace


@dataclass(frozen=True, kw_only=True)
class TraceLink:
    """Links that follow traces: partition i follows trace i, modulo the number of traces."""

    traces: tuple[Trace, ...]
    latency_seconds: float
    offset_seed: int | None

    def transfer_seconds(
        self, num_bytes: int, *, direction: Direction, partition_id: int, server_round: int, start_seconds: float
    ) -> float:
        """Return the latency plus the time in which the partition's trace carries all bytes."""
        trace = self.traces[partition_id % len(self.traces)]
        start = start_seconds + self._offset_seconds(trace, partition_id)
        return self.latency_seconds + trace.transfer_seconds(num_bytes, start)

    def _offset_seconds(self, trace: Trace, partition_id: int) -> float:
        if self.offset_seed is None or trace.period_seconds is None:
            return 0.0
        return generator(self.offset_seed, "link.offset", partition_id).random() * trace.period_seconds


def trace(
    path: str | None = None,
    paths: Sequence[str] = (),
    period_seconds: float | None = None,
    random_offset: bool = False,
    latency_seconds: float = 0.0,
    seed: int = 0,
    base_folder: str = ".",
) -> Link:
    """Make a link that follows recorded traces: Mahimahi's packet-delivery files, or CSV where the name ends in .csv.

    Give one file for all clients, or a list that clients take in turn. A Mahimahi file repeats after its last
    timestamp. A CSV file repeats after `period_seconds`; without it the last bandwidth holds for ever. With
    `random_offset` each client starts at its own place in the trace. Raises UserError with file and line for a wrong
    file.
    """
    if (path is None) == (not paths) or isinstance(paths, str):
        raise UserError("link: a trace takes either path = 'FILE' or paths = ['FILE', ...]")
    files = [Path(base_folder) / Path(each).expanduser() for each in ([path] if path is not None else paths)]
    traces = tuple(read_trace(file, period_seconds) for file in files)
    if random_offset and any(each.period_seconds is None for each in traces):
        raise UserError("link: random_offset needs traces that repeat: give period_seconds for CSV files")
    return TraceLink(
        traces=traces, latency_seconds=check_latency(latency_seconds), offset_seed=seed if random_offset else None
    )
