"""Accuracy of integer training with reused shifts against shifts that are found in every batch, over many seeds.

LeNet in NITI's integers on the first 3,000 training images of MNIST, two epochs of batches of 64, measured on the first
1,000 test images: the check of docs/guides/integer-training.md. A seed has the same first weights, order of images and
rounding in both. Prints for each mu the accuracy in per cent after each epoch, its standard deviation over the seeds,
the mean difference of the pairs with its standard error, and the share of passes over sums that reused shifts save.

    python benchmarks/rescaling.py ../shared/data/mnist-writers/mnist.npz --seeds 30
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedlab.models.cnn.layers import Layer, weight_shapes
from fedlab.models.cnn.lenet import lenet
from fedlab.models.integer.network import FIRST, initial_weights
from fedlab.models.integer.rescaling import Rescaling, skipped_share
from fedlab.models.integer.training import IntegerTraining, correct_share

EPOCHS, BATCH, TRAINED, MEASURED = 2, 64, 3000, 1000
MEAN, DEVIATION = 0.1307, 0.3081


@dataclass(frozen=True, kw_only=True)
class Images:
    """Normalised images [N, 1, 28, 28] and their labels [N], to train on and to measure on."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def read(file: Path) -> Images:
    """Read the first images of MNIST from an npz file with `image`, `label` and `test`."""
    with np.load(file) as stored:
        test = stored["test"]
        images = torch.from_numpy(stored["image"]).float().unsqueeze(1).div(255).sub(MEAN).div(DEVIATION)
        labels = torch.from_numpy(stored["label"]).long()
    return Images(
        images=images[~test][:TRAINED],
        labels=labels[~test][:TRAINED],
        test_images=images[test][:MEASURED],
        test_labels=labels[test][:MEASURED],
    )


def trained(
    layers: Sequence[Layer], images: Images, *, mu: int, seed: int, adaptive: bool
) -> tuple[list[float], float]:
    """Train; return the accuracy in per cent after each epoch, and the share of passes that was skipped."""
    generator = np.random.default_rng(seed)
    run = IntegerTraining(
        layers=layers,
        rules=FIRST,
        weights=initial_weights(weight_shapes(layers), FIRST, generator),
        generator=generator,
        rescaling=Rescaling(adaptive=adaptive, steps_in_epoch=-(-len(images.images) // BATCH)),
    )
    found = []
    for _ in range(EPOCHS):
        run.epoch(images.images, images.labels, mu=mu, batch_size=BATCH)
        found.append(100 * correct_share(layers, run.weights, images.test_images, images.test_labels, FIRST))
    return found, skipped_share(run.rescaling.histories)


def row(layers: Sequence[Layer], images: Images, *, mu: int, seeds: int) -> tuple[str, np.ndarray]:
    """Return a line of the table and the differences of the pairs after the last epoch, in points, [seeds]."""
    every, reused, skipped = [], [], []
    for seed in range(seeds):
        every.append(trained(layers, images, mu=mu, seed=seed, adaptive=False)[0])
        scores, share = trained(layers, images, mu=mu, seed=seed, adaptive=True)
        reused.append(scores)
        skipped.append(share)
    differences = np.array(reused)[:, -1] - np.array(every)[:, -1]
    cells = [str(mu), _spread(np.array(every)), _spread(np.array(reused)), _difference(differences)]
    return " | ".join([*cells, f"{np.mean(skipped):.0%}"]), differences


def _spread(scores: np.ndarray) -> str:
    means, deviations = scores.mean(axis=0), scores.std(axis=0, ddof=1)
    return ", ".join(f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in zip(means, deviations, strict=True))


def _difference(differences: np.ndarray) -> str:
    return f"{differences.mean():+.2f} ± {differences.std(ddof=1) / np.sqrt(len(differences)):.2f}"


def main() -> None:
    """Print the table, a row a mu."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="MNIST as an npz file with image, label and test")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--mu", type=int, nargs="+", default=[0, 1, 2, 3])
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: expected 2 or more, for there is a standard error")
    torch.set_num_threads(1)
    layers, images = lenet((1, 28, 28), 10), read(arguments.file)
    print("mu | every batch, epochs 1, 2 | reused, epochs 1, 2 | difference, points | skipped")
    found = []
    for mu in arguments.mu:
        line, differences = row(layers, images, mu=mu, seeds=arguments.seeds)
        found.append(differences)
        print(line, flush=True)
    print(f"all: {_difference(np.concatenate(found))} points")


if __name__ == "__main__":
    main()
