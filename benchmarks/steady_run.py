"""Run `fedlab run` for a few rounds and read the seconds of a steady round: every client has been asked before."""

import itertools
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory import peak_memory

COMMANDS = Path(sys.executable).parent
BOARD = "fleet={ devices = { jetson-orin-nano = 1 }, memory_limit = false }"  # it has figures for every precision


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The measurement of fedlab: seconds of each steady round, and of all actors by kind of work over the run."""

    rounds: list[float]
    actor_seconds: dict[str, float]
    driver_seconds: dict[str, float]
    busiest_train_seconds: float  # of the busiest actor of each round, on average
    busiest_fill_seconds: float  # likewise in all, of computing frozen states
    losses: Mapping[int, float]  # the mean loss of each client in the first round
    peak_bytes: int  # of all processes together, shared pages once
    actors_peak_bytes: int  # of the actors alone


def steady_run(experiment: Path, settings: Sequence[str], rounds: int, *, workers: int | None = None) -> Engine:
    """Run an experiment for `rounds` steady rounds, after a first one in which every client fills its cache.

    It is not validated, and the round that ends with the test is left out. The simulated board has no part in what is
    measured.
    """
    settings = [*settings, BOARD, f"rounds={rounds + 2}", "evaluation.validation_every=1000000"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [word for setting in settings for word in ("--set", setting)]
        command = [str(COMMANDS / "fedlab"), "run", str(experiment), "--quiet", "--out", str(run), *words]
        command += [] if workers is None else ["--workers", str(workers)]
        peak = peak_memory(command)
        ends = [line["wall_seconds"] for line in _lines(run / "rounds.jsonl")]
        clients = _lines(run / "clients.jsonl")
        engine = json.loads((run / "engine.json").read_text())
    busiest = engine["busiest_seconds"]
    return Engine(
        rounds=[after - before for before, after in itertools.pairwise(ends[:-1])],
        actor_seconds=engine["actor_seconds"],
        driver_seconds=engine["driver_seconds"],
        busiest_train_seconds=busiest["train"] / (rounds + 2),
        busiest_fill_seconds=busiest.get("cache", 0.0),
        losses={line["partition_id"]: line["train_loss"] for line in clients if line["server_round"] == 1},
        peak_bytes=peak.all_bytes,
        actors_peak_bytes=peak.actors_bytes,
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
