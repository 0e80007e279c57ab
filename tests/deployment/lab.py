"""A real SuperLink and SuperNodes on loopback, below one folder, which can be killed one by one.

No module of pytest: `conftest.py` loads it for the tests, and `benchmarks/chaos` for itself.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LIMIT_SECONDS = 240.0
SMALL = "backbone.name=bert-tiny task.max_length=16 task.limit=60 client.depth=1 client.options.optimizer=sgd"


def die_with_parent() -> None:
    """End this process when the tests are killed: then no fixture ends it, and Flower's own children follow it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of Linux


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_(holds: Callable[[], Any], what: str, lab: "Lab", seconds: float = LIMIT_SECONDS) -> Any:
    """Return what `holds` does once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"did not happen in time: {what}\n{lab.logs()}"
        time.sleep(0.2)
    return found


@dataclass(kw_only=True)
class Lab:
    """A SuperLink with its nodes, below one folder; `words` are what a run's settings begin with."""

    folder: Path
    words: str
    port: int = field(default_factory=free_port)
    gateway_port: int = 0
    bin: Path = BIN
    link_words: list[str | Path] = field(default_factory=lambda: ["--insecure"])
    connection: str = "insecure = true"
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # Flower starts others of its commands
            "FLWR_HOME": str(self.folder / "home"),
            "FEDLAB_CACHE": str(self.folder / "cache"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def start(self, name: str, *command: str | Path | int) -> subprocess.Popen[bytes]:
        """Start a process that lasts, in a session of its own; its output is in NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  (no threads are started before)
            )
        self.processes[name] = process
        return process

    def start_link(self, *words: str | Path) -> None:
        """Start the SuperLink, and tell Flower's command line where it is."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(f'[superlink.lab]\naddress = "127.0.0.1:{self.port}"\n{self.connection}\n')
        database = ["--database", str(self.folder / "state.db"), "--port", str(self.port)]
        self.start("superlink", BIN / "flower-superlink", *self.link_words, *database, *words)
        await_(lambda: self.listens(self.port), "the SuperLink listens", self, 60)

    @staticmethod
    def listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def start_apps(self, *words: str | Path) -> None:
        """Start what runs the server's side of a run, for a SuperLink that leaves it to others."""
        command = [BIN / "flower-superexec", "--runtime-api-address", f"127.0.0.1:{self.port}"]
        self.start("superexec", *command, *(words or ["--insecure"]))

    def join(self, number: int, *words: str | Path, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a node as `fedlab client` does."""
        server = ["--server", f"127.0.0.1:{port or self.port}", "--state", self.folder / f"state-{number}"]
        return self.start(f"node-{number}", BIN / "fedlab", "client", *server, *words)

    def start_node(self, number: int, config: str, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start a bare SuperNode, as Flower's documentation does."""
        command = [BIN / "flower-supernode", "--superlink", f"127.0.0.1:{self.port}", "--port", str(free_port())]
        return self.start(f"node-{number}", *command, "--node-config", config, *(words or ["--insecure"]))

    def bare(self, name: str, *words: str | Path, key: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a node that gives up after some tries."""
        config = ["--node-config", "partition-id=0 num-partitions=2", "--port", free_port(), "--max-retries", 2]
        known = [] if key is None else ["--auth-supernode-private-key", key]
        server = ["--superlink", f"127.0.0.1:{self.gateway_port}"]
        return self.start(name, BIN / "flower-supernode", *server, *config, *known, *words)

    def flwr(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "flwr"), *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def submit(self, settings: str, **config: Any) -> str:
        """Submit a run and return its id."""
        values = {"settings": f"{self.words} {settings}", "out": str(self.folder / "runs"), "wait-seconds": 60} | config
        line = " ".join(
            f"{key}='{value}'" if isinstance(value, str) else f"{key}={value}" for key, value in values.items()
        )
        done = self.flwr("run", ".", "lab", "--run-config", line, "--format", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["run-id"])

    def status(self, run_id: str) -> str:
        done = self.flwr("ls", "lab", "--run-id", run_id, "--format", "json")
        with contextlib.suppress(ValueError, LookupError):
            return str(json.loads(done.stdout)["runs"][0]["status"])
        return ""

    def finish(self, run_id: str) -> str:
        """Wait for the end of a run and return its status."""
        return str(await_(lambda: (s := self.status(run_id)).startswith("finished") and s, f"run {run_id} ends", self))

    def records(self, run: str, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "runs" / run / name).read_text().splitlines()]

    def summary(self, run: str) -> dict[str, Any]:
        path = self.folder / "runs" / run / "summary.json"
        assert path.exists(), self.logs()
        return dict(json.loads(path.read_text()))

    def rounds_done(self, run: str) -> int:
        path = self.folder / "runs" / run / "rounds.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log")))

    def members(self, name: str) -> list[int]:
        """Return the process ids of a process and of all that it started."""
        group = self.processes[name].pid
        found = subprocess.run(["ps", "-eo", "pid=,sid="], capture_output=True, text=True, check=True).stdout
        pairs = (map(int, line.split()) for line in found.splitlines())
        return [pid for pid, session in pairs if session == group]

    def server_apps(self) -> list[int]:
        """Return the processes in which the server's side of runs goes on, without those that have ended."""
        pids = ",".join(map(str, self.members("superexec")))
        # Lines are whole even where COLUMNS is set.
        command = ["ps", "-ww", "-o", "pid=,stat=,args=", "-p", pids]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        apps = [line.split() for line in found.splitlines() if "flwr-serverapp" in line]
        return [int(pid) for pid, state, *_ in apps if not state.startswith("Z")]

    def kill(self, name: str) -> None:
        """Kill a process and all that it started, at once."""
        for pid in self.members(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.processes.pop(name).wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
