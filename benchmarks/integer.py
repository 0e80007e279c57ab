"""One training step in integers against the same step as whole numbers in float32, and against float32 training.

The three train the same network on the same batch: NITI as fedlab computes it, in integers alone; NITI as one would
write it with torch at hand, every tensor float32 with whole numbers in it, convolutions torch's own (whose sums above
2^24 are not exact); and plain SGD with autograd. All have one thread and are measured in turns, of which the fastest
counts. `speedup_emulation` and `speedup_fp32` are how many times as fast as these the integers are. Where the processor
has no instructions for products of int8 (`int8_instructions`), all three compute products in float32.

    python benchmarks/integer.py --quick --json FILE
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.common.clock import stopwatch
from fedlab.models.cnn.layers import Conv, DropoutLayer, Flatten, Layer, Linear, MaxPool, Relu, Shape, weight_shapes
from fedlab.models.cnn.lenet import lenet
from fedlab.models.cnn.vgg import vgg_small
from fedlab.models.integer.network import (
    FIRST,
    IntegerPass,
    initial_weights,
    loss_draws,
    loss_gradients,
    quantised_inputs,
    stepped,
)
from fedlab.models.quantised.exact_product import int_kernel_is_faster

LABELS, MU, RATE = 10, 2, 0.01
QUICK = {"lenet": (64, 7), "vgg-small": (4, 2)}  # the sizes of batches, and turns
WHOLE = {"lenet": (64, 30), "vgg-small": (32, 3)}
Step = Callable[[], None]


def without_dropout(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers without those that drop values out, whose draws are no part of the comparison."""
    return tuple(layer for layer in layers if not isinstance(layer, DropoutLayer))


MODELS: Mapping[str, tuple[tuple[Layer, ...], Shape]] = {
    "lenet": (lenet((1, 28, 28), LABELS), (1, 28, 28)),
    "vgg-small": (without_dropout(vgg_small((3, 32, 32), LABELS)), (3, 32, 32)),
}


def integer_step(layers: Sequence[Layer], images: Tensor, labels: Tensor) -> Step:
    """Return a step of the integer engine; its weights move from step to step."""
    weights = initial_weights(weight_shapes(layers), FIRST, np.random.default_rng(0))
    drawn = np.random.default_rng(1)

    def step() -> None:
        nonlocal weights
        draws = loss_draws(drawn, len(labels), LABELS)
        inputs = quantised_inputs(images, FIRST)
        gradients = loss_gradients(layers, weights, inputs, labels, draws, IntegerPass(rules=FIRST))
        weights = stepped(weights, gradients, MU, FIRST)

    return step


class Emulation:
    """NITI with float32 tensors of whole numbers."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Draw its weights, the same as those of the integers."""
        self.layers = layers
        drawn = initial_weights(weight_shapes(layers), FIRST, np.random.default_rng(0))
        self.weights = {name: each.mantissa.float() for name, each in drawn.items()}
        self.exponents = {name: each.exponent for name, each in drawn.items()}

    def step(self, images: Tensor, labels: Tensor) -> None:
        """Take one step."""
        states, exponent, tape = self.forward(images)
        error = self.loss_gradient(states, exponent, labels)
        for index in reversed(range(len(self.layers))):
            error = self.backward(index, tape[index], error)

    def forward(self, images: Tensor) -> tuple[Tensor, int, list[tuple[Tensor, Tensor]]]:
        """Return the logits, their exponent, and what went in and out of each layer."""
        largest = float(images.abs().max())
        states, exponent = torch.round(images / largest * 127), int(np.ceil(np.log2(largest))) - 7
        tape = []
        for index, layer in enumerate(self.layers):
            before, places = states, states
            match layer:
                case Conv():
                    states = F.conv2d(states, self.weights[f"{index}.weight"], padding=layer.padding)
                case Linear():
                    states = states @ self.weights[f"{index}.weight"].t()
                case Relu():
                    states = states.relu()
                case MaxPool():
                    states, places = F.max_pool2d(states, layer.kernel, layer.stride, return_indices=True)
                case Flatten():
                    states = states.flatten(1)
            if isinstance(layer, Conv | Linear):
                states, shift = rescaled(states)
                exponent += self.exponents[f"{index}.weight"] + shift
            tape.append((before, places if isinstance(layer, MaxPool) else states))
        return states, exponent, tape

    def loss_gradient(self, logits: Tensor, exponent: int, labels: Tensor) -> Tensor:
        """Return the gradient of the logits."""
        if exponent > -7:
            powers = torch.trunc(torch.trunc(logits * 47274 / 2**15) * 2.0**exponent)
            found = 2 ** (powers - powers.amax(1, keepdim=True) + 10).clamp(min=0) - 1
        else:
            wide = logits.double()
            found = 2.0 ** (1 - 2 * exponent) + wide * 2.0 ** (1 - exponent) + wide * wide
        found = torch.trunc(found * 2**11 / found.sum(1, keepdim=True)).float()
        found[torch.arange(len(found)), labels] -= found.sum(1)
        magnitudes = found.abs()
        whole = torch.floor(magnitudes / 16)
        return (whole + (magnitudes - whole * 16 > torch.randint(0, 16, found.shape))).clamp(max=127) * found.sign()

    def backward(self, index: int, taped: tuple[Tensor, Tensor], error: Tensor) -> Tensor:
        """Return the error below a layer, and move its weight."""
        layer, (before, behind) = self.layers[index], taped
        match layer:
            case Relu():
                return error * (behind > 0)
            case Flatten():
                return error.view(before.shape)
            case MaxPool():
                return F.max_unpool2d(error, behind, layer.kernel, layer.stride, output_size=before.shape)
        name = f"{index}.weight"
        weight = self.weights[name]
        if isinstance(layer, Conv):
            below, gradient, _ = torch.ops.aten.convolution_backward(
                error, before, weight, None, layer.stride, layer.padding, (1, 1), False, (0, 0), 1,
                (index > 0, True, False),
            )  # fmt: skip
        else:
            below, gradient = error @ weight, error.t() @ before
        width = int(torch.ceil(torch.log2(gradient.abs().max())))
        self.weights[name] = (weight - pseudo_stochastic(gradient, max(0, width - MU))).clamp(-127, 127)
        return rescaled(below)[0] if index else error


def rescaled(sums: Tensor) -> tuple[Tensor, int]:
    """Return sums shifted to 7 bits, and their shift."""
    shift = max(0, int(torch.ceil(torch.log2(sums.abs().max()))) - 7)
    shift = max(2, shift) if shift else 0
    return pseudo_stochastic(sums, shift).clamp(-127, 127), shift


def pseudo_stochastic(numbers: Tensor, shift: int) -> Tensor:
    """Return whole numbers over 2^shift, rounded on their magnitudes."""
    if not shift:
        return numbers
    magnitudes = numbers.abs()
    whole = torch.floor(magnitudes / 2**shift)
    rest = magnitudes - whole * 2**shift
    high = torch.floor(rest / 2 ** (shift // 2))
    low = torch.remainder(rest, 2 ** (shift // 2)) * (1 + shift % 2)
    return (whole + (high > low)) * numbers.sign()


def float_step(layers: Sequence[Layer], images: Tensor, labels: Tensor) -> Step:
    """Return a step of SGD in float32."""
    drawn = initial_weights(weight_shapes(layers), FIRST, np.random.default_rng(0))
    weights = [each.floats().requires_grad_() for each in drawn.values()]

    def step() -> None:
        states, left = images, list(weights)
        for layer in layers:
            match layer:
                case Conv():
                    states = F.conv2d(states, left.pop(0), padding=layer.padding)
                case Linear():
                    states = states @ left.pop(0).t()
                case Relu():
                    states = states.relu()
                case MaxPool():
                    states = F.max_pool2d(states, layer.kernel, layer.stride)
                case Flatten():
                    states = states.flatten(1)
        found = torch.autograd.grad(F.cross_entropy(states, labels), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, found, strict=True):
                weight.sub_(RATE * gradient)

    return step


def measured(model: str, batch_size: int, turns: int) -> dict[str, object]:
    """Return the row of a model: the fastest seconds of a step of each kind, and their ratios."""
    layers, shape = MODELS[model]
    drawn = np.random.default_rng(2)
    images = torch.from_numpy(drawn.standard_normal((batch_size, *shape))).float()
    labels = torch.from_numpy(drawn.integers(0, LABELS, batch_size))
    emulation = Emulation(layers)
    steps: dict[str, Step] = {
        "integer": integer_step(layers, images, labels),
        "emulation": lambda: emulation.step(images, labels),
        "fp32": float_step(layers, images, labels),
    }
    seconds = dict.fromkeys(steps, float("inf"))
    for turn in range(turns + 1):
        for name, step in steps.items():
            elapsed = stopwatch()
            step()
            if turn:  # what is set up in a first step is not compared
                seconds[name] = min(seconds[name], elapsed())
    return {
        "model": model,
        "batch_size": batch_size,
        "int8_instructions": int_kernel_is_faster(torch.device("cpu")),
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "speedup_emulation": seconds["emulation"] / seconds["integer"],
        "speedup_fp32": seconds["fp32"] / seconds["integer"],
    }


def main() -> None:
    """Measure, print a table, and write a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller batches and fewer turns: about 20 seconds")
    parser.add_argument("--json", type=Path, help="write the rows to this file, as {'rows': [...]}")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = [measured(model, *size) for model, size in (QUICK if given.quick else WHOLE).items()]
    print(f"{'model':<12}{'batch':>6}{'integer ms':>12}{'emulation':>12}{'fp32':>12}{'x emulation':>13}{'x fp32':>9}")
    for row in rows:
        milliseconds = "".join(f"{1000 * row[f'{name}_seconds']:>12.1f}" for name in ("integer", "emulation", "fp32"))
        ratios = f"{row['speedup_emulation']:>13.2f}{row['speedup_fp32']:>9.2f}"
        print(f"{row['model']:<12}{row['batch_size']:>6}{milliseconds}{ratios}")
    if given.json:
        given.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
