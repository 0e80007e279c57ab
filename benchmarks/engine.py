"""Compare the speed of a round of fedlab with naive loops, in one run on one machine.

    python benchmarks/engine.py [--quick] [--profile] [--json FILE] [--depths 0 2 6] [--repeats 3]

The work of a round: MiniLM and adapters of width 8 in the top d of 6 blocks, 20 Newsgroups at 64 tokens (docstrings if
that is not available), 15 clients of 113 texts, one epoch in batches of 4, SGD, no evaluation. The methods are measured
in turn, repeated, and compared pair by pair. The overhead is the share of a round of fedlab that is not the training of
its busiest actor. The methods:

one-process    the adapters library's model in one process with as many threads as cores
n-process      the same in one process of one thread for each core, with the clients divided among them
flower         Flower's own simulation of the same client (not with --quick: it takes a minute to start)
fedlab         a steady round of `fedlab run`: every client has been asked before
products       only the float32 matrix products of frozen weights that any implementation has to compute, on all cores
               at once (from depth 3 on): a lower bound
"""

import argparse
import gzip
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from loops import Loops
from products import flops
from rich.console import Console
from rich.table import Table
from steady_run import COMMANDS, Engine, steady_run

from fedlab.common.machine import usable_cores

HERE = Path(__file__).parent
CLIENTS = 15
EXAMPLES = 113
TEXTS = round(CLIENTS * EXAMPLES / 0.9) + 1  # a tenth is held out
TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Work:
    """The round to measure."""

    experiment: Path
    settings: tuple[str, ...]
    depth: int


def fedlab_engine(work: Work, rounds: int, *, precision: str = "fp32", workers: int | None = None) -> Engine:
    """Run `fedlab run` for `rounds` steady rounds, after a first one in which every client fills its cache."""
    settings = [
        *work.settings,
        "strategy.name=fedavg",
        f"strategy.options={{clients_per_round={CLIENTS}}}",
        f"client={{depth={work.depth},width=8}}",
        f"backbone.precision={precision}",
    ]
    return steady_run(work.experiment, settings, rounds, workers=workers)


def flower_seconds(work: Work, rounds: int) -> float:
    """Return the seconds of a round of the same client in Flower's simulation, which is started and stopped here."""
    with tempfile.TemporaryDirectory() as home:
        app = Path(home) / "app"
        shutil.copytree(HERE / "plain_flower", app)
        results = Path(home) / "rounds.json"
        config = {
            "experiment": str(work.experiment.resolve()),
            "settings": json.dumps(work.settings),
            "depth": work.depth,
            "rounds": rounds + 1,
            "results": str(results),
            "loop": str(HERE.resolve()),
        }
        settings = Path(home) / "run.toml"  # a file, as texts on the command line cannot contain quotes
        settings.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
        nodes = f"num-supernodes={CLIENTS} client-resources-num-cpus=1"
        environment = os.environ | FLOWER_QUIET | {"FLWR_HOME": home, "OMP_NUM_THREADS": "1"}
        environment["PATH"] = (
            f"{COMMANDS}{os.pathsep}{environment['PATH']}"  # flwr starts other commands of its package
        )
        command = [
            str(COMMANDS / "flwr"),
            "run",
            str(app),
            "--stream",
            "--federation-config",
            nodes,
            "--run-config",
            str(settings),
        ]
        try:
            done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=1200)
        finally:
            subprocess.run(["pkill", "-f", f"flower-superlink.*{home}"], check=False)
        if not results.exists():  # the exit code of `flwr run --stream` does not show a failure
            sys.exit(f"Flower's simulation failed:\n{done.stdout}{done.stderr}")
        return statistics.median(json.loads(results.read_text())[1:])


def products_seconds(depth: int) -> float:
    """Return the seconds of the bare products of a round, divided among one single-threaded process for each core."""
    cores = usable_cores()
    rows = CLIENTS * EXAMPLES * TOKENS // cores
    command = [sys.executable, str(HERE / "products.py"), "--depth", str(depth), "--rows", str(rows)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(cores)]
    return max(float(process.communicate()[0]) for process in started)


FLOWER_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """The results at one depth: median seconds of a round, and medians of pairwise ratios."""

    depth: int
    one_process_seconds: float
    n_process_seconds: float
    flower_seconds: float | None
    fedlab_seconds: float
    fedlab_bf16_seconds: float
    products_seconds: float | None  # at depth 3 and more
    against_one_process: float
    against_n_process: float
    against_one_process_bf16: float
    against_n_process_bf16: float
    against_flower: float | None
    against_flower_bf16: float | None
    overhead_share: float
    peak_bytes: int
    peak_bytes_bf16: int
    actor_seconds: dict[str, float]
    driver_seconds: dict[str, float]


def measure(work: Work, *, repeats: int, rounds: int, clients: int, with_flower: bool) -> Row:
    """Measure every method in turn, `repeats` times."""
    cores = usable_cores()
    words = [str(work.experiment), *(word for setting in work.settings for word in ("--set", setting))]
    words += ["--depth", str(work.depth)]
    one, many, ours, bf16, flower = [], [], [], [], []
    engine = narrow = None
    for _ in range(repeats):
        for found, processes, threads in ((one, 1, cores), (many, cores, 1)):
            loops = Loops(
                HERE / "loop.py",
                words,
                processes=processes,
                threads=threads,
                clients=clients,
                of_a_round=CLIENTS,
            )
            found.append(loops.seconds())
            loops.close()
        engine = fedlab_engine(work, rounds)
        ours.append(statistics.median(engine.rounds))
        narrow = fedlab_engine(work, rounds, precision="bf16")
        bf16.append(statistics.median(narrow.rounds))
        flower += [flower_seconds(work, rounds)] if with_flower else []
    assert engine is not None
    assert narrow is not None

    def ratio(others: list[float], mine: list[float]) -> float:
        return statistics.median(other / our for other, our in zip(others, mine, strict=True))

    return Row(
        depth=work.depth,
        one_process_seconds=statistics.median(one),
        n_process_seconds=statistics.median(many),
        flower_seconds=statistics.median(flower) if flower else None,
        against_flower=ratio(flower, ours) if flower else None,
        against_flower_bf16=ratio(flower, bf16) if flower else None,
        fedlab_seconds=statistics.median(ours),
        fedlab_bf16_seconds=statistics.median(bf16),
        products_seconds=products_seconds(work.depth) if work.depth > 2 else None,
        against_one_process=ratio(one, ours),
        against_n_process=ratio(many, ours),
        against_one_process_bf16=ratio(one, bf16),
        against_n_process_bf16=ratio(many, bf16),
        overhead_share=1 - engine.busiest_train_seconds / statistics.mean(engine.rounds),
        peak_bytes=engine.peak_bytes,
        peak_bytes_bf16=narrow.peak_bytes,
        actor_seconds=engine.actor_seconds,
        driver_seconds=engine.driver_seconds,
    )


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only depth 2, once, without Flower: under 3 minutes")
    parser.add_argument("--profile", action="store_true", help="show the actors' time by kind of work")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 2, 6])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-flower", action="store_true", help="skip Flower's simulation")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        experiment, settings = work_settings(Path(folder))
        for depth in [2] if arguments.quick else arguments.depths:
            row = measure(
                Work(experiment=experiment, settings=settings, depth=depth),
                repeats=1 if arguments.quick else arguments.repeats,
                rounds=10 if depth < 3 else 4,
                clients=4 if arguments.quick else CLIENTS,
                with_flower=not (arguments.quick or arguments.no_flower),
            )
            rows.append(row)
            show(row, profile=arguments.profile)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": usable_cores()}
        arguments.json.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2))


def work_settings(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the experiment file and settings of the work: only the clients of a round, all with 113 texts.

    The texts are copied to `folder`. The test split is small, as the final test is not measured.
    """
    news = HERE.parent.parent / "shared" / "data" / "20news"
    data = ["task.data=docstrings", f"task.limit={TEXTS}"]
    if news.exists():
        for split, count in (("train", TEXTS), ("test", 64)):
            with gzip.open(news / f"{split}.jsonl.gz", "rt") as lines:
                (folder / f"{split}.jsonl").write_text("".join(itertools.islice(lines, count)))
        data = [f"task.data={folder}", "task.label=label_text"]
    partition = f"task.partition={{scheme='iid',clients={CLIENTS}}}"
    rest = [f"task.max_length={TOKENS}", partition, "client.options={}"]
    return HERE.parent / "experiments" / "quickstart.toml", (*data, *rest)


def show(row: Row, *, profile: bool) -> None:
    """Print the figures of a depth."""
    table = Table(title=f"depth {row.depth}: seconds a round (median)")
    for column in ("", "seconds", "fedlab is faster", "bf16 is faster"):
        table.add_column(column, justify="right" if column else "left")
    faster = f"{row.against_one_process:.1f} x", f"{row.against_one_process_bf16:.1f} x"
    table.add_row("one process", f"{row.one_process_seconds:.2f}", *faster)
    faster = f"{row.against_n_process:.1f} x", f"{row.against_n_process_bf16:.1f} x"
    table.add_row("n processes", f"{row.n_process_seconds:.2f}", *faster)
    if row.flower_seconds is not None:
        faster = f"{row.against_flower:.1f} x", f"{row.against_flower_bf16:.1f} x"
        table.add_row("flower", f"{row.flower_seconds:.2f}", *faster)
    table.add_row("fedlab", f"{row.fedlab_seconds:.3f}")
    table.add_row("fedlab bf16", f"{row.fedlab_bf16_seconds:.3f}")
    if row.products_seconds is not None:
        table.add_row("products alone", f"{row.products_seconds:.2f}")
    console = Console()
    console.print(table)
    if row.products_seconds is not None:
        speed = flops(row.depth, CLIENTS * EXAMPLES * TOKENS) / row.products_seconds / 1e9
        most = row.one_process_seconds / row.products_seconds
        console.print(f"products at {speed:.0f} GFLOPS: in float32 at most {most:.1f} x faster than one process")
    console.print(
        f"overhead {row.overhead_share:.0%}, peak memory {row.peak_bytes / 1e9:.1f}, {row.peak_bytes_bf16 / 1e9:.1f} GB"
    )
    if profile:
        spent = ", ".join(f"{kind} {seconds:.2f}" for kind, seconds in sorted(row.actor_seconds.items()))
        console.print(f"seconds of all actors over the run: {spent}")
        console.print(f"of the driver: transfer {row.driver_seconds.get('transfer', 0.0):.2f}")


if __name__ == "__main__":
    main()
