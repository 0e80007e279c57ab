"""Measure the cost of idle clients: seconds of a round, memory and start of a run, with few and with many clients.

    python benchmarks/scale.py [--clients 100000] [--repeats 3] [--rounds 40] [--json FILE]

Runs of 100 and of many clients alternate and are compared pair by pair. Every client has one piece of a post of 20
Newsgroups (a synthetic text if that is not available); 15 clients are asked in a round. Frozen states are not stored:
with few clients the same ones are asked again and would reuse their states, with many no client is asked twice. The
start is the time from the command to the end of its first round, minus a round. An earlier run has prepared the texts.
"""

import argparse
import csv
import gzip
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from memory import peak_memory
from rich.console import Console
from rich.table import Table

from fedlab.common.clock import stopwatch
from fedlab.data.sources.synthetic import texts

HERE = Path(__file__).parent
FEDLAB = str(Path(sys.executable).with_name("fedlab"))
FEW = 100
HELD = 64  # texts for validation, and for the test
WORDS = 24  # of a piece


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run: median seconds of a round, peak memory of all its processes, and seconds of its start."""

    round_seconds: float
    peak_bytes: int
    start_seconds: float


def measure(data: Path, clients: int, rounds: int) -> Measured:
    """Run `rounds` rounds and measure them."""
    settings = [
        f"rounds={rounds}",
        f"task.data={data}",
        f"task.limit={clients}",
        f"task.partition={{scheme='iid',clients={clients}}}",
        "strategy.name=fedavg",
        "strategy.options={clients_per_round=15}",
        "client={depth=2,width=8}",
        "engine.cache_bytes=0",
        "evaluation.validation_every=1000000",
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [word for setting in settings for word in ("--set", setting)]
        command = [FEDLAB, "run", str(HERE.parent / "experiments" / "quickstart.toml"), "--quiet", "--out", str(run)]
        first = FirstRound(run / "rounds.jsonl")
        peak_bytes = peak_memory([*command, *words]).all_bytes
        ends = [json.loads(line)["wall_seconds"] for line in (run / "rounds.jsonl").read_text().splitlines()]
    each = statistics.median(after - before for before, after in itertools.pairwise(ends[:-1]))
    return Measured(round_seconds=each, peak_bytes=peak_bytes, start_seconds=first.seconds() - each)


class FirstRound:
    """Measures the time until the first line of a file of rounds is written."""

    def __init__(self, path: Path) -> None:
        self._path, self._elapsed, self._seconds = path, stopwatch(), 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """Return the seconds until then."""
        self._thread.join()
        return self._seconds

    def _watch(self) -> None:
        pause = threading.Event()
        while not (self._path.exists() and self._path.stat().st_size):
            pause.wait(0.05)
        self._seconds = self._elapsed()


def pieces() -> Iterator[tuple[str, str]]:
    """Yield real texts of a few words, with labels."""
    news = HERE.parent.parent / "shared" / "data" / "20news" / "train.jsonl.gz"
    if news.exists():
        with gzip.open(news, "rt") as lines:
            posts = [(row["text"], row["label_text"]) for row in map(json.loads, lines)]
    else:
        made = texts(count=200_000, words=WORDS)["train"]
        posts = list(zip(made["text"], made["label"], strict=True))
    for text, label in posts:
        words = text.split()
        for start in range(0, len(words) - WORDS + 1, WORDS):
            yield " ".join(words[start : start + WORDS]), label


def write_texts(folder: Path, clients: int) -> None:
    """Write one text for each client, and the held-out texts."""
    drawn = list(pieces())
    random.Random(0).shuffle(drawn)  # so that the first texts have the same mix of lengths as the others
    source = iter(drawn)
    for split, count in (("validation", HELD), ("test", HELD), ("train", clients)):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *itertools.islice(source, count)])


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here")
    said = parser.parse_args()
    found: dict[int, list[Measured]] = {FEW: [], said.clients: []}
    with tempfile.TemporaryDirectory() as folder:
        write_texts(Path(folder), said.clients)
        for clients in found:
            measure(Path(folder), clients, 3)  # prepares the texts
        for _ in range(said.repeats):
            for clients, runs in found.items():
                runs.append(measure(Path(folder), clients, said.rounds))
    show(found[FEW], found[said.clients], said.clients)
    if said.json:
        said.json.write_text(
            json.dumps({each: [asdict(run) for run in runs] for each, runs in found.items()}, indent=2)
        )


def show(few: list[Measured], many: list[Measured], clients: int) -> None:
    """Print the medians of both, and of their pairwise ratios."""
    table = Table("", f"{FEW} clients", f"{clients:,} clients", "ratio")
    for name, unit in (("round_seconds", 1e3), ("peak_bytes", 1e-9), ("start_seconds", 1.0)):
        pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(few, many, strict=True)]
        medians = [f"{statistics.median(values) * unit:.2f}" for values in zip(*pairs, strict=True)]
        label = {"round_seconds": "round [ms]", "peak_bytes": "memory [GB]", "start_seconds": "start [s]"}[name]
        table.add_row(label, *medians, f"{statistics.median(other / one for one, other in pairs):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
