"""Measure what a tiny run takes from the command to its end, by stage.

    python benchmarks/startup.py [--repeats 5] [--check]

Eight clients train a BERT of two blocks for three rounds, which takes next to nothing: what is left is the start and
the end. The stages are read from outside, by what the run writes and when. Ray starts beside the imports: how long its
raylet takes to listen is not in the sum, and "data, Ray" has only what is left of Ray's start when the imports are
over. The first run prepares the data and is not counted; the others are shown by their medians, and so are runs in a
session and `fedlab --help`. With `--check` the exit code is 1 if a run takes more than 7 s, one in a session more than
3.5 s, or the help more than 0.5 s.

The result is only meaningful on an otherwise idle machine of two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

COMMAND = [sys.executable, "-P", "-m", "fedlab"]
MOST_SECONDS = {"run": 7.0, "run in a session": 3.5, "--help": 0.5}
REFILL_SECONDS = 5.0  # until the actors that a run has used are replaced
POLL_SECONDS = 0.005
STAGES = ("imports", "data, Ray", "actors", "rounds", "export", "end")
BESIDE = "raylet (beside)"
EXPERIMENT = """
name = "tiny"
rounds = 3
task = { data = "texts.csv", partition = { clients = 8 } }
backbone = { name = "bert-tiny" }
fleet = { devices = { jetson-tx2 = 1 } }
strategy = { name = "fedavg", options = { clients_per_round = 4 } }
"""


@contextmanager
def session(folder: Path) -> Iterator[None]:
    """Let the runs in a folder have a session."""
    environment, command = os.environ | {"FEDLAB_CACHE": str(folder / "cache")}, [*COMMAND, "session"]
    subprocess.run([*command, "start"], check=True, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*command, "stop"], check=True, env=environment, stdout=subprocess.DEVNULL)


def timed_run(folder: Path, *, pause_seconds: float = 0.0) -> dict[str, float]:
    """Run the experiment in a folder once, after a pause; return the seconds of each stage and of Ray's start."""
    time.sleep(pause_seconds)
    with tempfile.TemporaryDirectory(prefix="su", dir="/tmp") as temporary:  # Ray's sockets need a short path
        run = Path(temporary) / "run"
        started = time.time()
        process = subprocess.Popen(
            [*COMMAND, "run", "tiny.toml", "--out", str(run), "--quiet"],
            cwd=folder,
            env=os.environ | {"FEDLAB_CACHE": str(folder / "cache"), "TMPDIR": temporary},
            stdout=subprocess.DEVNULL,
        )
        seen = {}
        while process.poll() is None:
            for event in _events(Path(temporary)):
                seen.setdefault(event, time.time())
            time.sleep(POLL_SECONDS)
        ended = time.time()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        marks = [started, seen["scratch"], *marks_of(run), ended]
    ray = {BESIDE: seen["raylet"] - seen["ray"]} if "raylet" in seen else {}
    return stages(marks) | ray


def _events(temporary: Path) -> Iterator[str]:
    """Yield what has happened: Ray begins, its raylet listens, and the imports are over."""
    for place in temporary.glob("fedlab-*"):
        if not place.name.startswith("fedlab-ray-"):
            yield "scratch"
            continue
        yield "ray"
        if any(place.glob("session_*/sockets/raylet")):
            yield "raylet"


def marks_of(run: Path) -> list[float]:
    """Return when a run's folder was claimed, its first and its last round ended, and its last file was written."""
    walls = [json.loads(line)["wall_seconds"] for line in (run / "rounds.jsonl").read_text().splitlines()]
    claimed, last, written = (
        (run / name).stat().st_mtime for name in ("experiment.toml", "rounds.jsonl", "engine.json")
    )
    return [claimed, last - (walls[-1] - walls[0]), last, written]


def stages(marks: Sequence[float]) -> dict[str, float]:
    """Return the seconds of each stage, from the times at which they begin and end."""
    return {name: end - start for name, (start, end) in zip(STAGES, pairwise(marks), strict=True)}


def timed_help() -> float:
    """Return the seconds of `fedlab --help`."""
    started = time.monotonic()
    subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def table(medians: Mapping[str, float]) -> str:
    """Return the seconds of each stage and their shares of the sum, a line each."""
    whole = total(medians)
    lines = [f"{name:<16}{medians[name]:>6.2f} s{medians[name] / whole:>6.0%}" for name in STAGES]
    beside = [f"{BESIDE:<16}{medians[BESIDE]:>6.2f} s"] if BESIDE in medians else []
    return "\n".join([*lines, f"{'sum':<16}{whole:>6.2f} s", *beside])


def total(run: Mapping[str, float]) -> float:
    """Return the sum of the stages."""
    return sum(run[name] for name in STAGES)


def median_run(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each stage over runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def too_long(seconds: Mapping[str, float]) -> list[str]:
    """Return a line for each measurement that is above its bar."""
    return [
        f"{name} takes {seconds[name]:.2f} s, more than {most:g} s"
        for name, most in MOST_SECONDS.items()
        if seconds[name] > most
    ]


def prepare(folder: Path) -> None:
    """Write the experiment and its texts, and run it once, which prepares the data."""
    (folder / "tiny.toml").write_text(EXPERIMENT)
    lines = [f"the {'sun' if each % 2 else 'moon'} of day {each},{each % 2}" for each in range(400)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    timed_run(folder)


def main() -> None:
    """Measure, print the tables and, if asked to, check them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="fail if something takes longer than its bar")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="startup-") as name:
        folder = Path(name)
        prepare(folder)
        alone = median_run([timed_run(folder) for _ in range(said.repeats)])
        with session(folder):
            inside = median_run([timed_run(folder, pause_seconds=REFILL_SECONDS) for _ in range(said.repeats)])
    seconds = {"run": total(alone), "run in a session": total(inside)}
    seconds["--help"] = statistics.median(timed_help() for _ in range(said.repeats))
    for title, run in (("run", alone), ("run in a session", inside)):
        print(f"{title}\n{table(run)}\n")
    print(f"{'--help':<16}{seconds['--help']:>6.2f} s")
    trouble = too_long(seconds)
    print("\n".join(trouble))
    sys.exit(1 if said.check and trouble else 0)


if __name__ == "__main__":
    main()
