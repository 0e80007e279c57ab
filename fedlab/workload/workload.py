"""What a client did, and what it cost: the records the simulated physics turns into each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# What is trained, as flat values: {"set": "bottleneck", "depth": 2, "width": 8}; the set's name, then its axes.
Configuration = Mapping[str, int | str]
Method = Literal["adapter", "full", "freeze", "evaluate", "prefill"]
FORWARD_ONLY: tuple[Method, ...] = ("evaluate", "prefill")  # no arrays come back


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one client did for one message: counts only, never times.

    `method` is `adapter` (frozen blocks, adapters in the top `depth`), `full` or `freeze` (the top `depth` blocks
    are trained whole), `evaluate` or `prefill` (forward passes only, the latter to fill the activation cache). Of
    `batches`, `cached_batches` started from activations the client had stored; the others ran every block.
    `sequence_length` is the padded length in tokens.
    """

    method: Method
    depth: int
    width: int
    batches: int
    cached_batches: int
    batch_size: int
    sequence_length: int
    num_examples: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one client's part in a round cost.

    `idle_seconds` is how long it waited for the round's end, `late_seconds` how long after that end its work is handed
    in: one of the two is zero.
    """

    compute_seconds: float
    download_seconds: float
    upload_seconds: float
    compute_joules: float
    transfer_joules: float
    bytes_down: int
    bytes_up: int
    peak_memory_bytes: int
    idle_seconds: float = 0.0
    idle_joules: float = 0.0
    late_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """The whole of the client's part: download, then compute, then upload."""
        return self.download_seconds + self.compute_seconds + self.upload_seconds

    @property
    def joules(self) -> float:
        """The energy of computing, communicating and waiting."""
        return self.compute_joules + self.transfer_joules + self.idle_joules
