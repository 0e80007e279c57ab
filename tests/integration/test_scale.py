"""Many registered clients, many participants a round, many rounds: a run costs what takes part in it, no more."""

import fcntl
import json
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlab.server.checkpoint import load_tree

pytestmark = pytest.mark.slow

FEDLAB = str(Path(sys.executable).with_name("fedlab"))
LIMIT_SECONDS = 300.0
MEGABYTE = 2**20
MANY, FEW = 100_000, 100
WORDS = ("red", "green", "blue", "cat", "dog", "fish", "tree", "stone", "river")

EXPERIMENT = """
name = "scale"
seed = 5

[task]
data = "{data}"
max_length = 16
validation = 0.001
test = 0.001
partition = {{ clients = {clients} }}

[backbone]
name = "bert-tiny"

[client]
name = "clients.py:waiting"
depth = 1

[strategy]
name = "fedavg"
options = {{ clients_per_round = 15 }}

[engine]
cache_bytes = 1_000_000_000

[evaluation]
validation_every = 100
test_every = 0

[checkpoint]
every = 1
"""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run under way, whose clients wait at a gate in one of its rounds."""

    process: subprocess.Popen
    run: Path
    temporary: Path  # where it and Ray keep what is not to stay
    gate: Path

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the whole lines of a file of records."""
        whole = (self.run / name).read_text().rpartition("\n")[0] if (self.run / name).exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def until(self, server_round: int) -> Iterator[int]:
        """Yield the rounds done so far again and again, last when so many are done and in the checkpoint."""
        tree, deadline, done = self.run / "checkpoint" / "tree.json", time.monotonic() + LIMIT_SECONDS, 0
        while done < server_round:
            assert self.process.poll() is None, f"ended early: see {self.run}.log"
            assert time.monotonic() < deadline, f"round {server_round} never came"
            time.sleep(0.1)
            try:
                done = json.loads(tree.read_text())["tree"]["state"]["server_round"]
            except FileNotFoundError:  # none yet, or just being replaced
                continue
            yield done

    def finish(self) -> dict[str, Any]:
        """Open the gate, wait for the end and return the summary."""
        self.gate.unlink()
        assert self.process.wait(LIMIT_SECONDS) == 0, Path(f"{self.run}.log").read_text()
        return json.loads((self.run / "summary.json").read_text())


@pytest.fixture(scope="module")
def folder(fedlab, tmp_path_factory) -> Path:
    """Make a folder with a text for each client, and two more to be held out for every 1000 of them."""
    folder = tmp_path_factory.mktemp("scale")
    (folder / "clients.py").write_text((fedlab.folder / "clients.py").read_text())
    for clients in (FEW, MANY):
        draws = random.Random(clients)
        rows = [f"{' '.join(draws.choices(WORDS, k=5))},{number % 2}" for number in range(clients + 2 * _held(clients))]
        (folder / f"{clients}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        (folder / f"{clients}.toml").write_text(EXPERIMENT.format(data=f"{clients}.csv", clients=clients))
    return folder


@pytest.fixture
def start(fedlab, folder, tmp_path) -> Iterator[Callable[..., Started]]:
    """Return a function that starts a run on a cluster of its own; its clients wait at a gate in the last round."""
    started = []

    def start(clients: int, *settings: str, rounds: int) -> Started:
        out, gate, temporary = (tmp_path / f"{clients}{end}" for end in ("", ".gate", ".tmp"))
        gate.touch()
        temporary.mkdir()
        options = f"client.options={{at_round = {rounds}, while_there = '{gate}'}}"
        words = [word for each in (f"rounds={rounds}", options, *settings) for word in ("--set", each)]
        log = Path(f"{out}.log").open("w")  # noqa: SIM115 - as long as the process lives
        process = subprocess.Popen(
            [FEDLAB, "run", f"{clients}.toml", "--out", out, "--workers", "2", "--quiet", *words],
            cwd=folder,
            # Ray's sockets need a short path, which a test's own folder may not be.
            env=fedlab.environment | {"TMPDIR": str(temporary), "RAY_TMPDIR": "/tmp"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return Started(process=process, run=out, temporary=temporary, gate=gate)

    yield start
    for process in started:
        process.kill()
        process.wait()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a run of so many rounds holds of its clients, each of whom has one text."""

    took_part: list[int]  # a client a round, as recorded
    states: list[int]  # clients with a state, as the checkpoint says
    state_bytes: int
    other_bytes: int  # of the checkpoint itself
    texts_stored: int  # training texts of which frozen states are stored
    message_bytes: set[tuple[int, int]]  # down and up, of each client's first order: later its work is another


def trace_before(started: Started, server_round: int) -> Trace:
    """Return what a run holds while its clients wait in a round."""
    list(started.until(server_round - 1))
    records = started.records("clients.jsonl")
    states = _states(started.run)
    filled = next(started.temporary.glob("fedlab-*/activations/train-adapter-1.filled"))
    checkpoint_bytes = sum(path.stat().st_size for path in (started.run / "checkpoint").iterdir())
    firsts = {record["partition_id"]: record for record in reversed(records)}.values()
    return Trace(
        took_part=[record["partition_id"] for record in records],
        states=list(states),
        state_bytes=sum(states.values()),
        other_bytes=checkpoint_bytes,
        texts_stored=int(np.fromfile(filled, np.uint8).sum()),
        message_bytes={(record["bytes_down"], record["bytes_up"]) for record in firsts},
    )


def _states(run: Path) -> dict[int, int]:
    """Return the length of each client's state, from the file that the checkpoint names."""
    mark, found, start = load_tree(run / "checkpoint")["parts"]["clients"]["states"], {}, 0
    data = (run / "states" / f"states.{mark['file']}").read_bytes()
    while start < mark["bytes"]:
        partition_id, length, _ = struct.unpack_from("<qqI", data, start)
        found[partition_id] = length
        start += 20 + length
    return found


def test_of_100_000_clients_only_those_that_take_part_leave_a_trace(start):
    many, few = (start(clients, rounds=4) for clients in (MANY, FEW))
    traces = [trace_before(started, 4) for started in (many, few)]
    summaries = [started.finish() for started in (many, few)]

    for trace, started, summary in zip(traces, (many, few), summaries, strict=True):
        assert len(trace.took_part) == 3 * 15
        assert sorted(trace.states) == sorted(set(trace.took_part))
        assert trace.texts_stored == len(trace.states)
        assert len(started.records("clients.jsonl")) == 4 * 15
        assert (summary["status"], summary["rounds"], summary["client_failures"]) == ("finished", 4, 0)
    assert max(traces[0].took_part) > FEW
    of_many, of_few = traces
    assert of_many.message_bytes == of_few.message_bytes
    assert of_many.state_bytes * len(of_few.states) == of_few.state_bytes * len(of_many.states)
    assert abs(of_many.other_bytes - of_few.other_bytes) < 200  # digits of times and lengths


def test_a_thousand_clients_take_part_in_every_round(start):
    started = start(MANY, "strategy.options.clients_per_round=1000", rounds=3)
    list(started.until(2))
    summary = started.finish()

    clients = started.records("clients.jsonl")
    assert (summary["rounds"], summary["client_failures"], len(clients)) == (3, 0, 3000)
    for server_round in (1, 2, 3):
        assert len({each["partition_id"] for each in clients if each["server_round"] == server_round}) == 1000
    # The last checkpoint is from before the last round, which a run that goes on computes again.
    assert set(_states(started.run)) == {each["partition_id"] for each in clients if each["server_round"] < 3}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a run takes after so many rounds."""

    rounds: int
    driver_bytes: int  # resident
    actor_bytes: int  # resident, of all actors
    checkpoint_bytes: int
    stored_bytes: int  # of frozen states


def test_in_a_thousand_rounds_nothing_grows(start):
    room = FEW * 7 * 128 * 4  # for the states of the training texts alone: the validation texts take turns with them
    started = start(
        FEW,
        f"engine.cache_bytes={room}",
        "task.partition.clients=6",
        "strategy.options.clients_per_round=3",
        "client.options.max_batches=2",
        rounds=1001,
    )
    samples = [sample for done in started.until(1000) if (sample := _sample(started, done))]
    last = _sample(started, 1000)
    started.finish()

    clients = started.records("clients.jsonl")
    firsts = {each["partition_id"]: each["server_round"] for each in reversed(clients)}
    assert len(firsts) == 6
    assert max(firsts.values()) < 200
    early = next(sample for sample in samples if sample.rounds >= 200)
    assert last.driver_bytes <= 1.1 * early.driver_bytes + 30 * MEGABYTE
    assert last.actor_bytes <= 1.1 * early.actor_bytes + 2 * 30 * MEGABYTE
    assert abs(last.checkpoint_bytes - early.checkpoint_bytes) < 100  # digits of times and lengths
    assert 0 < max(sample.stored_bytes for sample in samples) <= room


def _sample(started: Started, done: int) -> Sample | None:
    """Return what a run takes now, None if its checkpoint is just being replaced."""
    activations = next(started.temporary.glob("fedlab-*/activations"))
    try:
        checkpoint_bytes = sum(path.stat().st_size for path in (started.run / "checkpoint").iterdir())
    except FileNotFoundError:
        return None
    with (activations / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        stored_bytes = sum(path.stat().st_size for path in activations.glob("*.states"))
    return Sample(
        rounds=done,
        driver_bytes=_resident_bytes(started.process.pid),
        actor_bytes=sum(map(_resident_bytes, _actors(started.process.pid))),
        checkpoint_bytes=checkpoint_bytes,
        stored_bytes=stored_bytes,
    )


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def _actors(driver: int) -> list[int]:
    """Return the processes of a driver's actors, which are its grandchildren."""
    found = [child for raylet in _children(driver) for child in _children(raylet)]
    return [pid for pid in found if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ClientActor")]


def _children(pid: int) -> list[int]:
    return [int(each) for task in Path(f"/proc/{pid}/task").glob("*/children") for each in task.read_text().split()]


def _held(clients: int) -> int:
    return max(1, clients // 1000)
