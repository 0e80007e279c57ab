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
from dataclasses import dataclass
from pathlib import Path

_PERIOD_SECONDS = 0.5
_MARK = "FEDLAB_MEASURED_BY"
_ACTOR = b"ray::ClientActor"  # the first letters of the title of a process


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most memory that processes took at one time."""

    all_bytes: int
    actors_bytes: int  # of the simulation's actors alone


def peak_memory(command: Sequence[str]) -> Peak:
    """Run a command and return the peak of its processes' memory; raises CalledProcessError if it fails."""
    mark, peak, of_actors, counted = uuid.uuid4().hex, 0, 0, set[Path]()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {_MARK: mark})
    while process.poll() is None:
        counted |= set(_started(f"{_MARK}={mark}".encode(), counted))
        taken = {each: _proportional_bytes(each) for each in counted}
        peak = max(peak, sum(taken.values()))
        of_actors = max(of_actors, sum(taken[each] for each in counted if _is_actor(each)))
        time.sleep(_PERIOD_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Peak(all_bytes=peak, actors_bytes=of_actors)


def _is_actor(process: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes().startswith(_ACTOR)
    except OSError:  # it has ended
        return False


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
    sys.stdout.write(f"{peak_memory(sys.argv[1:]).all_bytes / 1e9:.2f} GB\n")
