"""Only the matrix products of frozen weights that any implementation of the engine's round has to compute.

A process computes its share with one thread and prints the seconds. In each block between the lowest adapter and the
last block, where a classifier needs only one row of each text, the weights are multiplied with the state of every
token, and in the backward pass with every gradient. This is a lower bound for any engine in that precision.

With `--formats` it compares the precisions of frozen weights instead, each as fedlab computes it: the seconds of one
step by every matrix of a block, and how many times as fast as float32 that is; and the two kernels for the exact
products of int8, of which fedlab takes the faster one. All are measured in turns, and of each the fastest turn counts.
"""

import argparse
from collections.abc import Callable, Mapping

import torch

from fedlab.common.clock import stopwatch
from fedlab.models.base import affine
from fedlab.models.quantised.exact_product import by_float_kernel, by_int_kernel
from fedlab.models.quantised.named_weights import QUANTISED

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


Step = Callable[[], None]


def precision_steps(rows: int) -> dict[str, Step]:
    """Return what a step of `rows` tokens does in each precision: products, and the gradients of what went in."""
    return {name: _of_precision(name, rows) for name in ("fp32", "bf16", *QUANTISED)}


def kernel_steps(rows: int) -> dict[str, Step]:
    """Return a step's exact products of int8 by each kernel, without quantising, and those of float32."""
    floats = [(torch.randn(rows, inner), torch.randn(inner, outer)) for inner, outer in SHAPES]
    integers = [tuple((127 * each / each.abs().max()).to(torch.int8) for each in pair) for pair in floats]

    def step(kernel: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], pairs: list) -> Step:
        return lambda: [kernel(left, right) for left, right in pairs] and None

    return {
        "fp32": step(torch.mm, floats),
        "float32's kernel": step(by_float_kernel, integers),
        "_int_mm": step(by_int_kernel, integers),
    }


def fastest_seconds(steps: Mapping[str, Step], turns: int) -> dict[str, float]:
    """Return the seconds of the fastest of a number of turns of each step."""
    for step in steps.values():
        step()
    found = dict.fromkeys(steps, float("inf"))
    for _ in range(turns):
        for name, step in steps.items():
            elapsed = stopwatch()
            step()
            found[name] = min(found[name], elapsed())
    return found


def table(title: str, seconds: Mapping[str, float]) -> str:
    """Return seconds as rows of a table, each with how many times as fast as `fp32` it is."""
    rows = [f"| {name} | {each:.4f} | {seconds['fp32'] / each:.2f} |" for name, each in seconds.items()]
    return "\n".join([f"| {title} | seconds | times as fast |", "|---|---|---|", *rows])


def _of_precision(precision: str, rows: int) -> Step:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    pairs = []
    for inner, outer in SHAPES:
        weight = torch.randn(outer, inner)
        matrix = QUANTISED[precision].of(weight) if precision in QUANTISED else weight.to(dtype)
        states = torch.randn(rows, inner, dtype=dtype, requires_grad=True)
        pairs.append((states, matrix, torch.randn(rows, outer, dtype=dtype)))

    def step() -> None:
        for states, matrix, gradient in pairs:
            torch.autograd.grad(affine(states, matrix, None), states, gradient)

    return step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, help="number of adapted blocks; needed without --formats")
    parser.add_argument("--rows", type=int, help="number of tokens; needed without --formats")
    parser.add_argument("--formats", action="store_true", help="compare the precisions of frozen weights")
    parser.add_argument("--turns", type=int, default=10, help="of --formats")
    arguments = parser.parse_args()
    if not arguments.formats and None in (arguments.depth, arguments.rows):
        parser.error("expected --depth and --rows, or --formats")
    torch.set_num_threads(1)
    if arguments.formats:
        rows = arguments.rows or STEP_ROWS
        precisions = fastest_seconds(precision_steps(rows), arguments.turns)
        kernels = fastest_seconds(kernel_steps(rows), min(3, arguments.turns))  # `_int_mm` can take seconds
        print(table(f"{rows} tokens by a block of MiniLM, and back", precisions))
        print()
        print(table("the products there alone", kernels))
    else:
        print(multiply(arguments.depth, arguments.rows))
