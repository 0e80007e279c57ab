"""How the server makes a step of a gradient: plain, with momentum, by Adam, or of a length relative to the weights'."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

Optimizer = Literal["sgd", "momentum", "adam", "relative"]
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # Adam's (Kingma and Ba 2015)


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """A rule by which a vector w moves down a gradient G, at a rate that falls linearly to 0 over `decay_steps`.

    * `sgd`: w - rate G, as in FwdLLM's artifact, whose rate is 0.01 and falls over 3,000 rounds;
    * `momentum`: w - rate u, with u = momentum u + G;
    * `adam`: by the running means of G and of its squares;
    * `relative`: w - rate |w| u / |u|, with u as of `momentum` (normalised SGD, Cutkosky and Mehta 2020). Most of a
      forward gradient is noise, and a step of a length in proportion to it lets the weights grow until training
      collapses; this rule fixes the length as a share of the weights' own.

    Raises ValueError for a value that cannot be.
    """

    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.01
    decay_steps: int | None = None
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Check the rule."""
        if self.optimizer not in get_args(Optimizer):
            raise ValueError(f"optimizer: {self.optimizer!r}, expected one of {', '.join(get_args(Optimizer))}")
        if not 0 < self.learning_rate <= 1e9:
            raise ValueError(f"learning_rate: {self.learning_rate}, expected a positive number, at most 1e9")
        if self.decay_steps is not None and not 1 <= self.decay_steps <= 10**9:
            raise ValueError(f"decay_steps: {self.decay_steps}, expected a number of steps from 1 to 1e9")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: {self.momentum}, expected a number from 0 up, less than 1")

    def rate(self, steps: int) -> float:
        """Return the learning rate after a number of steps."""
        if self.decay_steps is None:
            return self.learning_rate
        return self.learning_rate * max(0.0, 1 - steps / self.decay_steps)

    def stepped(
        self, values: np.ndarray, gradient: np.ndarray, memory: "StepMemory"
    ) -> tuple[np.ndarray, "StepMemory"]:
        """Return the vector after a step, float64 [P], and what the next step needs to know of this one."""
        rate, after = self.rate(memory.steps), replace(memory, steps=memory.steps + 1)
        if self.optimizer in ("momentum", "relative"):
            velocity = gradient if memory.mean is None else self.momentum * memory.mean + gradient
            if self.optimizer == "relative":
                rate *= _share(float(np.linalg.norm(values)), float(np.linalg.norm(velocity)))
            return values - rate * velocity, replace(after, mean=velocity)
        if self.optimizer == "adam":
            return _adam(values, gradient, rate, after)
        return values - rate * gradient, after


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """What a rule remembers: its number of steps, and running means of gradients and of their squares, [P]."""

    steps: int = 0
    mean: np.ndarray | None = None
    square: np.ndarray | None = None

    def state(self) -> dict[str, Any]:
        """Return it as a checkpoint holds it."""
        return vars(self)


def _adam(values: np.ndarray, gradient: np.ndarray, rate: float, after: StepMemory) -> tuple[np.ndarray, StepMemory]:
    (first, second), zero = _BETAS, np.zeros_like(gradient)
    mean = first * (zero if after.mean is None else after.mean) + (1 - first) * gradient
    square = second * (zero if after.square is None else after.square) + (1 - second) * gradient**2
    scale = np.sqrt(square / (1 - second**after.steps)) + _EPSILON
    moved = values - rate / (1 - first**after.steps) * mean / scale
    return moved, replace(after, mean=mean, square=square)


def _share(weights_norm: float, gradient_norm: float) -> float:
    """Return by what to multiply a gradient for it to be as long as the weights; weights of zeros count as of 1."""
    return 0.0 if gradient_norm == 0 else (weights_norm or 1.0) / gradient_norm
