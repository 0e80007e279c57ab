"""Kill processes of small runs at random moments, resume until all are done, and compare with runs left alone.

    make chaos N=100

Each kill is a `kill -9` of one process: the driver of a run, one of its actors, an agent of its Ray, a cell of a
sweep, or the sweep itself. A run or sweep that has ended before the moment came is done, and another one is begun. All
must end with the digests of the one that was left alone, and leave no file or process behind.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FEDLAB = [sys.executable, "-P", "-m", "fedlab"]
LIMIT_SECONDS = 600.0
DIGESTS = ("arrays_digest", "records_digest")
TARGETS = ("driver", "actor", "agent", "cell", "sweep")

EXPERIMENT = """
name = "chaos"
rounds = 30
seed = 3

[task]
data = "texts.csv"
max_length = 16
partition = { clients = 8 }

[backbone]
name = "bert-tiny"

[client]
depth = 1

[strategy]
name = "fedavg"
options = { clients_per_round = 6 }

[engine]
workers = 1
"""
SWEEP = """
[sweep]
seed = [3, 4]
"""


@dataclass(kw_only=True)
class Chaos:
    """Runs in a folder, killed at moments that `draws` chooses."""

    folder: Path
    draws: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    longest_seconds: float = 0.0  # that one command took when left alone

    def prepare(self) -> None:
        """Write the files of the experiments."""
        words, draws = ("red", "green", "blue", "cat", "dog", "tree"), random.Random(0)
        rows = [f"{' '.join(draws.choices(words, k=6))} {('sun', 'moon')[n % 2]},{n % 2}" for n in range(160)]
        (self.folder / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        (self.folder / "run.toml").write_text(EXPERIMENT)
        (self.folder / "sweep.toml").write_text(EXPERIMENT + SWEEP)
        (self.folder / "tmp").mkdir()

    def left_alone(self, kind: str) -> dict[str, dict[str, str]]:
        """Run to the end and return the digests."""
        out, begun = self.folder / f"alone-{kind}", time.monotonic()
        process = self._start(kind, out)
        said = process.communicate(timeout=LIMIT_SECONDS)[1]
        assert process.returncode == 0, said
        self.longest_seconds = time.monotonic() - begun
        return digests(out)

    def disturbed(self, kind: str, targets: list[str]) -> dict[str, dict[str, str]]:
        """Run with one kill after the other of `targets`, which loses those that were done; return the digests."""
        self.begun += 1
        out = self.folder / f"{kind}-{self.begun}"
        for _ in range(100):
            process = self._start(kind, out)
            if targets:
                self._disturb(process, targets)
            said = process.communicate(timeout=LIMIT_SECONDS)[1]
            if process.returncode == 0:
                return digests(out)
            assert "Traceback" not in said, said
        raise AssertionError(f"{out}: not done after 100 tries")

    def _disturb(self, process: subprocess.Popen[str], targets: list[str]) -> None:
        moment = time.monotonic() + self.draws.uniform(0, self.longest_seconds)
        while time.monotonic() < moment and process.poll() is None:
            time.sleep(0.02)
        while process.poll() is None and time.monotonic() < moment + 5:
            if found := list(self._found(process.pid, targets[0])):
                kill(self.draws.choice(found))
                self.kills[targets.pop(0)] += 1
                return
            time.sleep(0.02)  # it is not there yet

    @staticmethod
    def _found(pid: int, target: str) -> Iterator[int]:
        if target in ("driver", "sweep"):
            yield pid
        marks = {"actor": b"ray::ClientActor", "agent": b"ray::RuntimeEnvAgent", "cell": b"\0run\0"}
        for child in descendants(pid):
            if target in marks and marks[target] in command(child):
                yield child

    def _start(self, kind: str, out: Path) -> subprocess.Popen[str]:
        words = ["sweep", "sweep.toml", "--out", str(out), "--quiet", "--parallel", "2"]
        if kind == "run" and (out / "experiment.toml").exists():
            words = ["run", "--resume", str(out), "--quiet"]
        elif kind == "run":
            shutil.rmtree(out, ignore_errors=True)  # killed before there was anything to resume
            words = ["run", "run.toml", "--out", str(out), "--quiet"]
        return subprocess.Popen(
            [*FEDLAB, *words],
            cwd=self.folder,
            env=os.environ
            | {"FEDLAB_CACHE": str(self.folder / "cache"), "TMPDIR": str(self.folder / "tmp")}
            | {"RAY_TMPDIR": str(self.folder)},  # of which a short path is expected
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def digests(out: Path) -> dict[str, dict[str, str]]:
    """Return the digests of a run, or of the cells of a sweep, by name."""
    found = {path.parent.name if path.parent != out else "": path for path in out.rglob("summary.json")}
    summaries = {name: json.loads(path.read_text()) for name, path in found.items()}
    return {name: {key: summary[key] for key in DIGESTS if key in summary} for name, summary in summaries.items()}


def kill(pid: int) -> None:
    """End a process at once, if it has not ended by itself."""
    subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, and these."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(each) for each in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from descendants(child)


def command(pid: int) -> bytes:
    """Return the arguments of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> None:
    """Kill as often as asked, and exit with 1 if a digest differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    planned = [TARGETS[number % len(TARGETS)] for number in range(arguments.kills)]
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        chaos = Chaos(folder=Path(folder), draws=draws)
        chaos.prepare()
        compared = different = 0
        for kind, own in (("run", ("driver", "actor", "agent")), ("sweep", ("cell", "sweep"))):
            targets = [each for each in planned if each in own]
            draws.shuffle(targets)
            expected = chaos.left_alone(kind) if targets else {}
            while targets:
                compared += 1
                if (found := chaos.disturbed(kind, targets)) != expected:
                    different += 1
                    sys.stdout.write(f"{kind} {chaos.begun}: {found} is not {expected}\n")
        left = [path.name for place in (chaos.folder, chaos.folder / "tmp") for path in place.glob("fedlab-*")]
    kills = ", ".join(f"{count} {target}" for target, count in sorted(chaos.kills.items()))
    sys.stdout.write(
        f"{chaos.kills.total()} kills ({kills}): {compared - different} of {compared} equal the one left alone;"
        f" left behind: {shlex.join(left) or 'nothing'}\n"
    )
    sys.exit(1 if different or left else 0)


if __name__ == "__main__":
    main()
