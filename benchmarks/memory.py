"""Measure the memory of a run, summed over its processes.

    python benchmarks/memory.py COMMAND...

It prints the peak of the proportional set size, which counts a shared page once (Linux). Ray's processes leave their
parent, so what is counted are all processes that have a mark of the command in their environment, or that have a
counted one as their parent: a process that changes its title may overwrite its environment.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path

_PERIOD_SECONDS = 0.5
_MARK = "FEDLAB_MEASURED_BY"


def peak_memory(command: Sequence[str]) -> int:
    """Run a command and return the peak of its processes' memory in bytes; raises CalledProcessError if it fails."""
    mark, peak, counted = uuid.uuid4().hex, 0, set[Path]()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {_MARK: mark})
    while process.poll() is None:
        counted |= set(_started(f"{_MARK}={mark}".encode(), counted))
        peak = max(peak, sum(_proportional_bytes(each) for each in counted))
        time.sleep(_PERIOD_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak


def _started(mark: bytes, counted: Set[Path]) -> Iterator[Path]:
    for process in set(Path("/proc").glob("[0-9]*")) - counted:
        with suppress(OSError):  # it has ended, or is not ours to look at
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if Path("/proc") / parent in counted or mark in (process / "environ").read_bytes().split(b"\0"):
                yield process


def _proportional_bytes(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended, or is not ours to look at
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.stderr.write("memory.py: which command? python benchmarks/memory.py COMMAND...\n")
        sys.exit(2)
    sys.stdout.write(f"{peak_memory(sys.argv[1:]) / 1e9:.2f} GB\n")
