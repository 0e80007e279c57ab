"""Simulated runs and sweeps whose driver, actors or cells are killed."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outcome import Outcome
from processes import arguments, descendants, kill

RUNS, SWEEPS = ("driver", "actor"), ("cell",)
_FEDLAB = [sys.executable, "-P", "-m", "fedlab"]
_LIMIT_SECONDS = 600.0
_IDLE_TRIES = 3
_LATE_SECONDS = 30.0  # that a process to kill may come later than its moment
_DIGESTS = ("arrays_digest", "records_digest")
_ROUNDS = 12
# All that a checkpoint holds: a search, the clients' error feedback, and updates that are carried into a later round.
_EXPERIMENT = f"""
name = "chaos"
rounds = {_ROUNDS}
seed = 3

[task]
data = "texts.csv"
max_length = 16
partition = {{ clients = 6 }}

[backbone]
name = "bert-tiny"

[client]
depth = 1

[strategy]
name = "adafl"
options = {{ clients_per_round = 3, base_seconds = 0.025, over_selection = 1.4, late = "carry" }}

[codec]
up = ["top-k:0.1", "int8"]

[engine]
workers = 1

[checkpoint]
every = 1
"""
_SWEEP = "\n[sweep]\nseed = [3, 4]\n"


def write_texts(path: Path) -> None:
    """Write short texts with a word that tells their label."""
    draws = random.Random(0)
    words = ("red", "green", "blue", "cat", "dog", "tree")
    rows = [f"{' '.join(draws.choices(words, k=6))} {('sun', 'moon')[n % 2]},{n % 2}" for n in range(96)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")


def rounds_in(out: Path) -> int:
    """Return how many rounds a run has recorded, or the cells of a sweep together."""
    # Other than `Path.rglob`, `os.walk` passes over folders that are replaced while it looks.
    found = [Path(folder, "rounds.jsonl") for folder, _, files in os.walk(out) if "rounds.jsonl" in files]
    return sum(path.read_bytes().count(b"\n") for path in found)


def digests_in(out: Path) -> dict[str, Any]:
    """Return the digests of a run, or of the cells of a sweep by name."""
    summaries = {str(path.parent.relative_to(out)): json.loads(path.read_text()) for path in out.rglob("summary.json")}
    return {name: {key: summary.get(key) for key in _DIGESTS} for name, summary in summaries.items()}


@dataclass(kw_only=True)
class Simulated:
    """Runs, or sweeps, in a folder; `draws` chooses the moments of kills.

    Half of the commands are killed while they start, the others while their rounds go on: starting takes longer.
    """

    folder: Path
    draws: random.Random
    is_sweep: bool
    begun: int = 0
    expected: dict[str, Any] = field(default_factory=dict)
    start_seconds: float = 0.0
    rounds_seconds: float = 0.0

    def prepare(self) -> None:
        """Write the experiment, and run it to its end without a kill."""
        write_texts(self.folder / "texts.csv")
        (self.folder / "run.toml").write_text(_EXPERIMENT)
        (self.folder / "sweep.toml").write_text(_EXPERIMENT + _SWEEP)
        (self.folder / "tmp").mkdir()
        out = self.folder / "alone"
        for _ in range(_IDLE_TRIES):
            begun = time.monotonic()
            process = self._start(out)
            self._wait(process, lambda: rounds_in(out) > 0, _LIMIT_SECONDS)
            self.start_seconds = time.monotonic() - begun
            said = process.communicate(timeout=_LIMIT_SECONDS)[1]
            if process.returncode == 0:
                break
        assert process.returncode == 0, said
        self.rounds_seconds = time.monotonic() - begun - self.start_seconds
        self.expected = digests_in(out)

    def disturbed(self, targets: list[str]) -> Outcome:
        """Run until done, with kills of the first targets, which are taken from the list as they are hit."""
        self.begun += 1
        name, began = f"{'sweep' if self.is_sweep else 'run'}-{self.begun}", time.monotonic()
        out, hits = self.folder / name, list[str]()
        idle = 0  # tries in a row without a kill: Ray may not start on a busy machine
        while idle < _IDLE_TRIES:
            process, before = self._start(out), len(hits)
            for hit in self._disturb(process, out, targets):
                hits.append(hit)
            said = process.communicate(timeout=_LIMIT_SECONDS)[1]
            if process.returncode == 0 or "Traceback" in said:
                break
            idle = idle + 1 if len(hits) == before else 0
        found = digests_in(out) if process.returncode == 0 else {}
        fault = None if found == self.expected else f"{found} is not {self.expected}"
        if process.returncode or "Traceback" in said:
            fault = f"exit code {process.returncode}: {said}"
        resumed = process.returncode == 0
        seconds = time.monotonic() - began
        return Outcome(name=name, kills=tuple(hits), resumed=resumed, fault=fault, seconds=seconds)

    def _disturb(self, process: subprocess.Popen[str], out: Path, targets: list[str]) -> Iterator[str]:
        """Kill target after target until the command ends; a call that an actor dies at twice is given up, so a round
        is between two kills of actors."""
        early = self.draws.random() < 0.5
        while targets and process.poll() is None:
            self._wait_for_moment(process, out, early=early)
            early = False
            deadline = time.monotonic() + _LATE_SECONDS
            while process.poll() is None and time.monotonic() < deadline:
                if found := list(self._found(process.pid, targets[0])):
                    kill(self.draws.choice(found))
                    yield targets.pop(0)
                    break
                time.sleep(0.02)
            self._await_round(process, out)

    def _wait_for_moment(self, process: subprocess.Popen[str], out: Path, *, early: bool) -> None:
        if early:
            self._wait(process, lambda: False, self.draws.random() * self.start_seconds)
            return
        self._await_round(process, out)
        done, rounds = rounds_in(out), _ROUNDS * len(self.expected)
        if done < rounds:
            # A round, not a time: how busy the machine is may have changed since it was measured.
            last = self.draws.randrange(done, rounds)
            self._wait(process, lambda: rounds_in(out) >= last, _LIMIT_SECONDS)
            self._wait(process, lambda: False, self.draws.random() * self.rounds_seconds / rounds)

    def _await_round(self, process: subprocess.Popen[str], out: Path) -> None:
        before = rounds_in(out)
        self._wait(process, lambda: rounds_in(out) > before, _LIMIT_SECONDS)

    def _found(self, pid: int, target: str) -> Iterator[int]:
        if target == "driver":
            yield pid
        marks = {"actor": b"\0ray::ClientActor", "cell": b"\0run\0"}
        for child in descendants(pid):
            if target in marks and marks[target] in arguments(child):
                yield child

    @staticmethod
    def _wait(process: subprocess.Popen[str], holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds, the command has ended, or the time is over."""
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline and not holds():
            time.sleep(0.02)

    def _start(self, out: Path) -> subprocess.Popen[str]:
        if self.is_sweep:
            words = ["sweep", "sweep.toml", "--out", str(out), "--quiet", "--parallel", "2"]
        elif (out / "experiment.toml").exists():
            words = ["run", "--resume", str(out), "--quiet"]
        else:
            shutil.rmtree(out, ignore_errors=True)  # killed before there was anything to resume
            words = ["run", "run.toml", "--out", str(out), "--quiet"]
        places = {"FEDLAB_CACHE": str(self.folder / "cache"), "TMPDIR": str(self.folder / "tmp")}
        places |= {"RAY_TMPDIR": str(self.folder.parent)}  # a short path, as the sockets in it must have
        return subprocess.Popen(
            [*_FEDLAB, *words],
            cwd=self.folder,
            env=os.environ | places | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
