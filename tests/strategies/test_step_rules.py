"""How a step is made of a gradient, by hand."""

import numpy as np
import pytest
import torch

from strategies.step_rules import StepMemory, StepRule

VALUES, GRADIENT = np.array([3.0, 4.0]), np.array([0.0, 10.0])


def walk(rule, steps, gradient=GRADIENT):
    values, memory = VALUES, StepMemory()
    for _ in range(steps):
        values, memory = rule.stepped(values, gradient, memory)
    return values


def test_a_plain_step_goes_down_the_gradient():
    np.testing.assert_allclose(walk(StepRule(learning_rate=0.1), 2), [3, 2])


def test_momentum_adds_up_gradients_as_torch_does():
    parameter = torch.tensor(VALUES, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    for _ in range(3):
        parameter.grad = torch.tensor(GRADIENT)
        optimizer.step()
    found = walk(StepRule(optimizer="momentum", learning_rate=0.1), 3)
    np.testing.assert_allclose(found, parameter.detach().numpy())


def test_adam_is_torchs():
    parameter = torch.tensor(VALUES, requires_grad=True)
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    for number in range(3):
        parameter.grad = torch.tensor(GRADIENT * (number + 1) + 1)
        optimizer.step()
    values, memory, rule = VALUES, StepMemory(), StepRule(optimizer="adam", learning_rate=0.1)
    for number in range(3):
        values, memory = rule.stepped(values, GRADIENT * (number + 1) + 1, memory)
    np.testing.assert_allclose(values, parameter.detach().numpy(), rtol=1e-6)


def test_a_relative_step_is_a_share_of_the_weights_however_long_the_gradient():
    rule = StepRule(optimizer="relative", learning_rate=0.1)
    np.testing.assert_allclose(walk(rule, 1), [3, 4 - 0.1 * 5])
    np.testing.assert_allclose(walk(rule, 1, GRADIENT * 1000), [3, 4 - 0.1 * 5])
    np.testing.assert_array_equal(walk(rule, 1, GRADIENT * 0), VALUES)


def test_relative_steps_go_along_the_momentum_of_gradients():
    rule, other = StepRule(optimizer="relative", learning_rate=0.1, momentum=0.5), np.array([10.0, 0.0])
    first, memory = rule.stepped(VALUES, GRADIENT, StepMemory())
    second, _ = rule.stepped(first, other, memory)
    velocity = np.array([10.0, 5.0])
    np.testing.assert_allclose(second, first - 0.1 * np.linalg.norm(first) * velocity / np.linalg.norm(velocity))


def test_the_rate_falls_linearly_to_nothing():
    rule = StepRule(learning_rate=0.01, decay_steps=3000)
    assert [rule.rate(steps) for steps in (0, 1500, 3000, 4000)] == [0.01, 0.005, 0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "adamw"}, "optimizer: 'adamw', expected one of sgd, momentum, adam, relative"),
        ({"learning_rate": 0}, "learning_rate: 0, expected a positive number"),
        ({"decay_steps": 0}, "decay_steps: 0, expected a number of steps"),
        ({"momentum": 1.0}, "momentum: 1.0, expected a number from 0 up, less than 1"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        StepRule(**options)
