"""Measure whether the memory of a run grows with its rounds.

    python benchmarks/rounds_memory.py [--rounds 400] [--check]

It runs a tiny experiment with error feedback and updates that are carried into later rounds, and prints the memory of
the driver and of the actors at some rounds (Linux): the resident set size, which is mostly libraries, and its anonymous
part, which is what a leak would add to. With `--check` the exit code is 1 if one of them is more than 5 % larger at the
end than at round 100. Each figure is the median over the rounds around it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

FROM_ROUND, MOST_GROWTH = 100, 0.05
FIELDS = {"Rss:": "resident", "Anonymous:": "anonymous"}
AROUND = 10  # rounds on each side
EXPERIMENT = """
name = "memory"
rounds = {rounds}
seed = 3

[task]
data = "texts.csv"
max_length = 16
partition = {{ clients = 8 }}

[backbone]
name = "bert-tiny"

[client]
depth = 1

[strategy]
name = "fedavg"
options = {{ clients_per_round = 4, over_selection = 1.5, late = "carry" }}

[codec]
up = ["top-k:0.1", "int8"]

[engine]
workers = 1
"""

Sample = tuple[int, str, int]  # round, column, bytes


def measure(folder: Path, rounds: int) -> list[Sample]:
    """Run the experiment and return what was seen while it ran."""
    rows = [f"{word} text {number},{word}" for number in range(48) for word in ("sun", "moon")]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (folder / "run.toml").write_text(EXPERIMENT.format(rounds=rounds))
    command = [sys.executable, "-P", "-m", "fedlab", "run", "run.toml", "--out", "run", "--quiet"]
    environment = os.environ | {"FEDLAB_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    samples, records, size = list[Sample](), folder / "run" / "rounds.jsonl", 0
    while process.poll() is None:
        time.sleep(0.05)
        if records.exists() and records.stat().st_size != size:
            size = records.stat().st_size
            done = records.read_bytes().count(b"\n")
            samples += [(done, column, found) for column, found in memory_of_run(process.pid)]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return samples


def memory_of_run(driver: int) -> Iterator[tuple[str, int]]:
    """Yield the memory of a driver and its actors, by column."""
    yield from memory_of("driver", driver)
    for child in descendants(driver):
        if b"ray::ClientActor" in read(Path(f"/proc/{child}/cmdline")):
            yield from memory_of("actor", child)


def memory_of(name: str, pid: int) -> Iterator[tuple[str, int]]:
    """Yield the resident and the anonymous memory of a process in bytes."""
    for line in read(Path(f"/proc/{pid}/smaps_rollup")).decode().splitlines():
        words = line.split()
        if words[0] in FIELDS:
            yield f"{name} {FIELDS[words[0]]}", int(words[1]) * 1024


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, and those that they have."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, read(task).split()):
            yield child
            yield from descendants(child)


def read(path: Path) -> bytes:
    """Return what a file of the system says, nothing if the process has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def medians(samples: Sequence[Sample], marks: Sequence[int]) -> dict[str, list[float]]:
    """Return the median of each column around each mark, in bytes."""
    found: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for server_round, column, size in samples:
        for mark in marks:
            if abs(server_round - mark) <= AROUND:
                found[column][mark].append(size)
    return {column: [statistics.median(by_mark[mark]) for mark in marks] for column, by_mark in found.items()}


def growth(values: Mapping[str, Sequence[float]], marks: Sequence[int]) -> dict[str, float]:
    """Return by how much each column has grown since round 100, as a share."""
    start = marks.index(FROM_ROUND)
    return {column: each[-1] / each[start] - 1 for column, each in values.items()}


def main() -> None:
    """Run, print the table and, if asked to, check it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--check", action="store_true", help="fail if memory grows by more than 5 %% from round 100 on")
    said = parser.parse_args()
    marks = [50, *range(FROM_ROUND, said.rounds - AROUND, 50), said.rounds - AROUND]
    with tempfile.TemporaryDirectory(prefix="rounds-memory-") as folder:
        values = medians(measure(Path(folder), said.rounds), marks)
    sys.stdout.write(f"{'round':<18}" + "".join(f"{mark:>9}" for mark in marks) + f"{'growth':>9}\n")
    grown = growth(values, marks)
    for column, each in values.items():
        sizes = "".join(f"{size / 1e6:>9.1f}" for size in each)
        sys.stdout.write(f"{column:<15} MB{sizes}{grown[column]:>+9.1%}\n")
    sys.exit(1 if said.check and max(grown.values()) > MOST_GROWTH else 0)


if __name__ == "__main__":
    main()
