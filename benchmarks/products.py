"""Only the matrix products of frozen weights that any implementation of the engine's round has to compute.

A process computes its share with one thread and prints the seconds. In each block between the lowest adapter and the
last block, where a classifier needs only one row of each text, the weights are multiplied with the state of every
token, and in the backward pass with every gradient. This is a lower bound for any engine in that precision.
"""

import argparse

import torch

from fedlab.common.clock import stopwatch

HIDDEN, INTERMEDIATE = 384, 1536  # MiniLM's
SHAPES = ((HIDDEN, 3 * HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, INTERMEDIATE), (INTERMEDIATE, HIDDEN))
STEP_ROWS = 4 * 4 * 64  # a pack of four clients, batches of four texts of 64 tokens


def flops(depth: int, rows: int) -> float:
    """Return the operations of the products of `rows` tokens, forward and backward."""
    return 2 * 2.0 * rows * max(0, depth - 2) * sum(inner * outer for inner, outer in SHAPES)


def multiply(depth: int, rows: int) -> float:
    """Compute the products and return the seconds."""
    pairs = [(torch.randn(STEP_ROWS, inner), torch.randn(outer, inner)) for inner, outer in SHAPES]
    gradients = [torch.randn(STEP_ROWS, outer) for _, outer in SHAPES]
    for _ in range(3):
        _step(pairs, gradients)
    elapsed = stopwatch()
    for _ in range(round(rows / STEP_ROWS) * (depth - 2)):
        _step(pairs, gradients)
    return elapsed()


def _step(pairs: list[tuple[torch.Tensor, torch.Tensor]], gradients: list[torch.Tensor]) -> None:
    for (states, weight), gradient in zip(pairs, gradients, strict=True):
        torch.mm(states, weight.t())
        torch.mm(gradient, weight)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(multiply(arguments.depth, arguments.rows))
