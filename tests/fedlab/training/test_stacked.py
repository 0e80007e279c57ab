"""Models side by side step as torch's own optimisers step each."""

import numpy as np
import pytest
import torch

from fedlab.training.stacked import adamw, clip_norms, sgd, stack

START = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([0.5], np.float32)}
STEPS = 4


def gradients_of(step: int, model: int) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(10 * step + model)
    return [torch.randn(2, 3, generator=draws), torch.randn(1, generator=draws)]


def torch_steps(make, model: int, rates: list[float]) -> list[np.ndarray]:
    parameters = [torch.tensor(array, requires_grad=True) for array in START.values()]
    optimizer = make(parameters)
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        for parameter, gradient in zip(parameters, gradients_of(step, model), strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, 1.5)
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda v: sgd(v, momentum=0.0, weight_decay=0.0), lambda p: torch.optim.SGD(p, lr=0.1)),
        (
            lambda v: sgd(v, momentum=0.9, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        ),
        (lambda v: adamw(v, weight_decay=0.0), lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.0)),
        (lambda v: adamw(v, weight_decay=0.1), lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1)),
    ],
    ids=["sgd", "sgd with momentum and decay", "adamw", "adamw with decay"],
)
def test_every_model_of_a_stack_moves_as_torch_moves_one(ours, theirs):
    models = stack(START, 3)
    step_all = ours(models.values)
    rates = [[0.1 / (1 + step + model) for step in range(STEPS)] for model in range(3)]
    for step in range(STEPS):
        for model in range(3):
            models.gradients[model] = torch.cat([part.ravel() for part in gradients_of(step, model)])
        clip_norms(models.gradients, 1.5)
        with torch.no_grad():
            step_all(models.values, models.gradients, torch.tensor([[rates[m][step]] for m in range(3)]), step + 1)

    for model in range(3):
        expected = torch_steps(theirs, model, rates[model])
        for array, right in zip(models.arrays(model).values(), expected, strict=True):
            assert array == pytest.approx(right, abs=1e-6)


def test_parameters_and_gradients_share_the_memory_of_the_stack():
    models = stack(START, 2)

    (models.parameters["a"][1].sum() * 3).backward()
    with torch.no_grad():
        models.values[0] += 1

    assert models.gradients.tolist() == [[0.0] * 7, [3.0] * 6 + [0.0]]
    assert models.arrays(0)["b"] == pytest.approx([1.5])
    assert models.arrays(1)["b"] == pytest.approx([0.5])


def test_a_norm_within_the_limit_is_left_alone_and_each_model_has_its_own():
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4]])

    clip_norms(gradients, 1.0)

    assert gradients.numpy() == pytest.approx(np.array([[0.6, 0.8], [0.3, 0.4]]), abs=1e-6)
