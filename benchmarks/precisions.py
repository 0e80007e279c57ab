"""Accuracy by the precision of frozen weights: federated averaging in this process, once for each precision and seed.

    python benchmarks/precisions.py experiments/20news-head.toml --set client.depth=2 --seeds 0 1

The data, the partitions, the cohorts and the batches of a seed are the same for all precisions, and so is the first
model. What clients compute, and how a model is measured, is fedlab's own code, without its engine, messages and bills:
so the boards of the experiment need no figures for a precision. Prints a table of scores on test and validation, and
the mean difference to float32 over the seeds in points.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from clients.partition import examples_for
from fedlab.common.clock import stopwatch
from fedlab.common.seeds import generator
from fedlab.config.file import load_experiment
from fedlab.config.schema import Experiment
from fedlab.server.bench import bench_of, first_model, initial_set
from fedlab.training.bundle import prepare_workbench
from fedlab.training.evaluate import measure
from fedlab.training.local import LocalTraining
from fedlab.training.sgd_stacked import Trainee, train_together
from fedlab.workload.passes import Precision

Arrays = dict[str, np.ndarray]
BASELINE = "fp32"


def scores(experiment: Experiment, cohort: int, pack: int) -> tuple[float, float]:
    """Train and return the scores on test and validation."""
    workbench = prepare_workbench(experiment)
    bench = bench_of(experiment, workbench, partial(measure, workbench))
    trained = initial_set(experiment, bench.shape)
    settings = LocalTraining(**experiment.client.options)
    arrays = first_model(experiment, bench)
    for server_round in range(1, experiment.rounds + 1):
        drawn = generator(experiment.seed, "cohort", server_round).permutation(len(workbench.partitions))[:cohort]
        updates, counts = [], []
        for start in range(0, len(drawn), pack):
            trainees = [
                Trainee(
                    examples=examples_for(workbench, int(place), trained),
                    generator=generator(experiment.seed, "batches", server_round, int(place)),
                )
                for place in drawn[start : start + pack]
            ]
            updates += [each.arrays for each in train_together(workbench.network, trainees, arrays, settings)]
            counts += [len(each.examples.lengths) for each in trainees]
        arrays = averaged(updates, counts)
    at = trained.split_point(bench.shape.blocks)
    return float(measure(workbench, arrays, "test", at)), float(measure(workbench, arrays, "validation", at))


def averaged(updates: Sequence[Mapping[str, np.ndarray]], counts: Sequence[int]) -> Arrays:
    """Return the mean of models, each weighted by its number of examples."""
    shares = np.array(counts, np.float64) / sum(counts)
    return {
        name: sum(share * each[name] for share, each in zip(shares, updates, strict=True)).astype(np.float32)
        for name in updates[0]
    }


def differences(found: Mapping[tuple[str, int], float], precision: str) -> list[float]:
    """Return by seed how many points a precision scores above float32."""
    return [100 * (score - found[BASELINE, seed]) for (name, seed), score in found.items() if name == precision]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the experiment")
    parser.add_argument("--precisions", nargs="+", default=list(get_args(Precision)))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cohort", type=int, default=6, help="clients a round")
    parser.add_argument("--pack", type=int, default=4, help="clients that are trained together")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tests: dict[tuple[str, int], float] = {}
    print("| precision | seed | test | validation | seconds |\n|---|---|---|---|---|", flush=True)
    for seed in arguments.seeds:
        for precision in arguments.precisions:
            changed = [*arguments.set, f"backbone.precision={precision}", f"seed={seed}"]
            elapsed = stopwatch()
            test, validation = scores(load_experiment(arguments.experiment, changed), arguments.cohort, arguments.pack)
            tests[precision, seed] = test
            print(f"| {precision} | {seed} | {test:.4f} | {validation:.4f} | {elapsed():.0f} |", flush=True)
    for precision in arguments.precisions:
        if BASELINE in arguments.precisions and precision != BASELINE:
            each = differences(tests, precision)
            print(f"{precision}: {np.mean(each):+.2f} points of test, from {min(each):+.2f} to {max(each):+.2f}")


if __name__ == "__main__":
    main()
