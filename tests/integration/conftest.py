"""Real `fedlab` processes on a small experiment, which the tests of this folder share."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FEDLAB = [str(Path(sys.executable).with_name("fedlab"))]
LIMIT_SECONDS = 300.0

EXPERIMENT = """
# Three boards' worth of clients in trials of a few rounds each.
name = "small"
rounds = 7
seed = 5

[task]
data = "texts.csv"
max_length = 16
partition = { clients = 9 }

[backbone]
name = "bert-tiny"

[client]
depth = 1

[strategy]
name = "adafl"
options = { clients_per_round = 6, base_seconds = 0.025 }

[fleet]
devices = { jetson-tx2 = 2, rpi-4b = 1 }
"""

CLIENTS = '''
"""A built-in client, made to wait or to fail."""

import time
from pathlib import Path

from flwr.clientapp import ClientApp

from clients.adapter import adapter
from clients.forward import forward
from clients.full import full
from fedlab.messages.orders import server_round_of
from fedlab.messages.trains_together import TrainsTogether

KINDS = {"adapter": adapter, "forward": forward, "full": full}


class Before(ClientApp):
    """Does something before each client trains."""

    def __init__(self, do, *, kind="adapter", **options):
        super().__init__()
        self._do, self._inner = do, KINDS[kind](**options)
        self.train()(lambda message, context: self.train_together([message], [context])[0])
        self.evaluate()(self._inner)

    def train_together(self, messages, contexts):
        for message, context in zip(messages, contexts):
            self._do(server_round_of(message), context.node_config["partition-id"])
        if isinstance(self._inner, TrainsTogether):
            return self._inner.train_together(messages, contexts)
        return [self._inner(message, context) for message, context in zip(messages, contexts)]


def waiting(*, at_round: int, while_there: str, **options) -> ClientApp:
    """Wait in a round as long as a file is there."""

    def do(server_round, partition):
        while server_round == at_round and Path(while_there).exists():
            time.sleep(0.1)

    return Before(do, **options)


class Lonely(Before):
    def train_together(self, messages, contexts):
        if len(messages) > 1:
            raise MemoryError("2 are too many")
        return super().train_together(messages, contexts)


def lonely(**options) -> ClientApp:
    """Train alone, not together."""
    return Lonely(lambda server_round, partition: None, **options)


def failing(*, partitions: list[int], **options) -> ClientApp:
    """Raise on some partitions."""

    def do(server_round, partition):
        if partition in partitions:
            raise ValueError(f"partition {partition} cannot be read,\\nand that is that")

    return Before(do, **options)
'''


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that has ended; `run` is the folder it was to write, if any."""

    code: int
    out: str
    err: str
    run: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON of its last line."""
        return json.loads(self.out.splitlines()[-1])

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return a file of records as plain values."""
        return [json.loads(line) for line in (self.run / name).read_text().splitlines()]


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """Runs `fedlab` in a folder with a small experiment in it: small.toml, clients.py and texts.csv."""

    folder: Path
    environment: dict[str, str]
    ray_address: str

    def __call__(self, *words: str | Path, **environment: str) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            [*FEDLAB, *map(str, words)],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        place = words[words.index("--out") + 1] if "--out" in words else "nowhere"
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr, run=self.folder / place)

    def start(self, *words: str | Path) -> subprocess.Popen:
        """Start a command whose errors are read."""
        return subprocess.Popen(
            [*FEDLAB, *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, out: str, *words: str | Path, workers: int = 2) -> Ended:
        """Run the experiment to the end on the tests' cluster."""
        return self("run", "small.toml", "--out", out, *self.on_cluster(workers), "--json", *words)

    def on_cluster(self, workers: int = 2) -> list[str]:
        """Return the words that make a run join the tests' cluster, which is up already."""
        return ["--ray-address", self.ray_address, "--workers", str(workers)]

    def kill_in_round(self, server_round: int, out: str, *words: str | Path) -> Path:
        """Start the experiment, kill it while clients are busy with a round, and return its folder."""
        gate = self.folder / f"{out}.gate"
        gate.touch()
        waiting = {"name": "clients.py:waiting", "options.at_round": server_round, "options.while_there": gate}
        settings = [word for key, value in waiting.items() for word in ("--set", f"client.{key}={value}")]
        settings += ["--set", "checkpoint.every=1"]  # so that the round before is known to be in it
        command = ["run", "small.toml", "--out", out, *self.on_cluster(), "--quiet", *settings, *map(str, words)]
        log = (self.folder / f"{out}.log").open("w")
        process = subprocess.Popen(
            [*FEDLAB, *command], cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT
        )
        self._wait_for_checkpoint(self.folder / out, server_round - 1, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        gate.unlink()
        return self.folder / out

    def _wait_for_checkpoint(self, run: Path, server_round: int, process: subprocess.Popen) -> None:
        tree = run / "checkpoint" / "tree.json"
        deadline = time.monotonic() + LIMIT_SECONDS
        while not tree.exists() or _rounds_in(tree) < server_round:
            assert process.poll() is None, f"ended early: see {run}.log"
            assert time.monotonic() < deadline, f"no checkpoint of round {server_round}"
            time.sleep(0.2)


def _rounds_in(tree: Path) -> int:
    return json.loads(tree.read_text())["tree"]["state"]["server_round"]


@pytest.fixture(scope="session")
def fedlab(tmp_path_factory, day_and_night, ray_address) -> CommandLine:
    folder = tmp_path_factory.mktemp("integration")
    (folder / "texts.csv").write_text(day_and_night.read_text())
    (folder / "small.toml").write_text(EXPERIMENT)
    (folder / "clients.py").write_text(CLIENTS)
    environment = os.environ | {"FEDLAB_CACHE": str(folder / "cache"), "COLUMNS": "120", "TERM": "dumb"}
    return CommandLine(folder=folder, environment=environment, ray_address=ray_address)


@pytest.fixture(scope="session")
def base(fedlab) -> Ended:
    """Run the small experiment to the end, on a cluster of its own."""
    ended = fedlab("run", "small.toml", "--out", "base", "--workers", "2", "--json")
    assert ended.code == 0, ended.out + ended.err
    return ended


def timeless(value: Any) -> Any:
    """Leave out what may differ between two runs of one seed."""
    return {key: each for key, each in value.items() if key not in ("wall_seconds", "run_dir")}


@pytest.fixture(scope="session")
def some_fail(fedlab) -> Ended:
    """Run two rounds of all nine clients, of which two fail."""
    settings = {"name": "clients.py:failing", "options.partitions": [2, 7]}
    words = [word for key, value in settings.items() for word in ("--set", f"client.{key}={value}")]
    words += ["--set", "strategy={name = 'fedavg', options = {clients_per_round = 9}}", "--set", "rounds=2"]
    return fedlab.run("some-fail", *words)


@pytest.fixture(scope="session")
def same_numbers(fedlab):
    """Return a function that checks that two runs came to the same, by their files and by `fedlab verify`."""

    def check(one: Path, other: Path) -> None:
        summaries = [json.loads((run / "summary.json").read_text()) for run in (one, other)]
        assert timeless(summaries[0]) == timeless(summaries[1])
        for name in ("rounds.jsonl", "clients.jsonl", "trials.jsonl", "steps.jsonl"):
            texts = [(run / name).read_text() if (run / name).exists() else "" for run in (one, other)]
            lines = [[timeless(json.loads(line)) for line in text.splitlines()] for text in texts]
            assert lines[0] == lines[1], name
        assert (one / "final.safetensors").read_bytes() == (other / "final.safetensors").read_bytes()
        verified = fedlab("verify", one, other)
        assert (verified.code, verified.out.strip()) == (0, "the runs are identical"), verified.err

    return check
