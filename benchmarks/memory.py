"""Measure the memory of a run, summed over its processes.

    python benchmarks/memory.py COMMAND...

It prints the peak of the proportional set size, which counts a shared page once (Linux). Ray's processes leave their
parent, so every process that starts while the command runs is counted.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_PERIOD_SECONDS = 0.5


def peak_memory(command: Sequence[str]) -> int:
    """Run a command and return the peak of its processes' memory in bytes; raises CalledProcessError if it fails."""
    before, peak = _processes(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(_proportional_bytes(each) for each in _processes() - before))
        time.sleep(_PERIOD_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak


def _processes() -> set[Path]:
    return set(Path("/proc").glob("[0-9]*"))


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
