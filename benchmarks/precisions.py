"""Accuracy by the precision of frozen weights: federated averaging in this process, once for each precision and seed.

    python benchmarks/precisions.py experiments/20news-adafl.toml --set rounds=40 --set client.depth=2 --seeds 0 1

The data, the partitions and the test texts are those of the first seed. A seed has its own first model, cohorts and
batches, which are the same for all precisions. What clients compute, and how a model is measured, is fedlab's own code,
without its engine, messages and bills: so the boards of the experiment need no figures for a precision. Prints a table
of scores on test and validation, and how much a precision differs from float32 in points: the mean over the seeds, with
its standard error by the test texts (each counts with the difference of its own answers) and by the seeds.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from fedlab.data.label_words import word_scores
from fedlab.data.tokens import IGNORED_LABEL
from fedlab.models.peft.base import SplitPoint
from fedlab.server.bench import bench_of, first_model, initial_set
from fedlab.training.bundle import prepare_workbench
from fedlab.training.evaluate import measure, predict, shards
from fedlab.training.local import LocalTraining
from fedlab.training.sgd_stacked import Trainee, train_together
from fedlab.training.workbench import Split, Workbench
from fedlab.workload.passes import Precision

Arrays = dict[str, np.ndarray]
BASELINE = "fp32"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model answers on a split: by text how many answers are `right`, and how many there are, [N]."""

    right: np.ndarray
    counted: np.ndarray

    @property
    def score(self) -> float:
        """Return the accuracy of labels, of label words or of tokens."""
        return float(self.right.sum() / self.counted.sum())


def trained_model(
    experiment: Experiment, workbench: Workbench, cohort: int, pack: int
) -> tuple[Mapping[str, np.ndarray], SplitPoint]:
    """Train from the experiment's seed on; return the arrays and where the model is split."""
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
            now = settings.in_round(server_round)
            updates += [each.arrays for each in train_together(workbench.network, trainees, arrays, now)]
            counts += [len(each.examples.lengths) for each in trainees]
        arrays = averaged(updates, counts)
    return arrays, trained.split_point(bench.shape.blocks)


def answers(workbench: Workbench, arrays: Mapping[str, np.ndarray], split: Split, at: SplitPoint) -> Answers:
    """Return what a model answers on a split: labels, label words, or the tokens of texts."""
    tokens, language = workbench.tokens(split), workbench.task.language
    parts = [predict(workbench, arrays, split, start, stop, at) for start, stop in shards(len(tokens))]
    found = np.concatenate(parts)
    if language is None:
        labels = np.asarray(tokens.labels)
        found = found if workbench.network.kind == "tagging" else found.argmax(axis=1)
        right, counted = (found == labels) & (labels != IGNORED_LABEL), labels != IGNORED_LABEL
        by_text = tuple(each.reshape(len(labels), -1).sum(1) for each in (right, counted))
    elif language.words is None:
        by_text = (found[:, 1], found[:, 2])
    else:
        chosen = word_scores(np.asarray(found, np.float64), language.words).argmax(axis=1)
        by_text = (chosen == language.answers[split], np.ones(len(chosen)))
    right, counted = by_text
    return Answers(right=np.asarray(right, np.float64), counted=np.asarray(counted, np.float64))


def averaged(updates: Sequence[Mapping[str, np.ndarray]], counts: Sequence[int]) -> Arrays:
    """Return the mean of models, each weighted by its number of examples."""
    shares = np.array(counts, np.float64) / sum(counts)
    return {
        name: sum(share * each[name] for share, each in zip(shares, updates, strict=True)).astype(np.float32)
        for name in updates[0]
    }


def differences(found: Mapping[tuple[str, int], Answers], precision: str) -> list[float]:
    """Return by seed how many points a precision scores above float32."""
    return [100 * (it.score - found[BASELINE, seed].score) for (name, seed), it in found.items() if name == precision]


def error_by_texts(found: Mapping[tuple[str, int], Answers], precision: str) -> float:
    """Return the standard error of the mean difference to float32, in points, over which texts are in the test."""
    pairs = [(it, found[BASELINE, seed]) for (name, seed), it in found.items() if name == precision]
    gained = np.mean([it.right - base.right for it, base in pairs], axis=0)
    counted = pairs[0][0].counted
    residuals = gained - gained.sum() / counted.sum() * counted
    return float(100 * np.sqrt(np.square(residuals).sum()) / counted.sum())


def error_by_seeds(differences: Sequence[float]) -> float:
    """Return the standard error of the mean of differences over seeds; NaN of one seed."""
    return float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else float("nan")


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
    tests: dict[tuple[str, int], Answers] = {}
    print("| precision | seed | test | validation | seconds |\n|---|---|---|---|---|", flush=True)
    for precision in arguments.precisions:
        changed = [*arguments.set, f"backbone.precision={precision}"]
        workbench = prepare_workbench(load_experiment(arguments.experiment, [*changed, f"seed={arguments.seeds[0]}"]))
        for seed in arguments.seeds:
            elapsed = stopwatch()
            experiment = load_experiment(arguments.experiment, [*changed, f"seed={seed}"])
            arrays, at = trained_model(experiment, workbench, arguments.cohort, arguments.pack)
            tests[precision, seed], chosen = (answers(workbench, arrays, it, at) for it in ("test", "validation"))
            scores = f"{tests[precision, seed].score:.4f} | {chosen.score:.4f}"
            print(f"| {precision} | {seed} | {scores} | {elapsed():.0f} |", flush=True)
    for precision in arguments.precisions:
        if BASELINE in arguments.precisions and precision != BASELINE:
            each = differences(tests, precision)
            by = f"{error_by_texts(tests, precision):.2f} by texts, {error_by_seeds(each):.2f} by seeds"
            print(
                f"{precision}: {np.mean(each):+.2f} points of test, standard error {by}; {np.round(each, 2).tolist()}"
            )


if __name__ == "__main__":
    main()
