"""Steps are those of torch's own optimisers, after torch's own clipping."""

import json
import subprocess
import sys

import pytest
import torch

from fedlab.training.descent import descent
from fedlab.training.local import LocalTraining

RATES = [0.1, 0.05, 0.025, 0.0125]
OPTIONS = [
    {},
    {"clip_norm": None},
    {"momentum": 0.9},
    {"weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"optimizer": "adamw"},
    {"optimizer": "adamw", "weight_decay": 0.1, "clip_norm": None},
]


def parameters():
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, generator=draws).requires_grad_(), torch.randn(4, generator=draws).requires_grad_()]


def gradients(step):
    draws = torch.Generator().manual_seed(step + 1)
    return [torch.randn(2, 3, generator=draws), torch.randn(4, generator=draws)]


def torchs(settings, pull):
    """Step with torch's classes; `pull` adds the proximal term to the gradients."""
    mine = parameters()
    starts = [parameter.detach().clone() for parameter in mine]
    if settings.optimizer == "adamw":
        optimizer = torch.optim.AdamW(mine, lr=1.0, weight_decay=settings.weight_decay)
    else:
        optimizer = torch.optim.SGD(mine, lr=1.0, momentum=settings.momentum, weight_decay=settings.weight_decay)
    for step, rate in enumerate(RATES):
        for parameter, start, gradient in zip(mine, starts, gradients(step), strict=True):
            parameter.grad = gradient + pull * (parameter.detach() - start)
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(mine, settings.clip_norm)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    return mine


@pytest.mark.parametrize("pull", [0.0, 0.5])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_many_steps_are_those_of_torchs_optimisers(options, pull):
    settings, mine = LocalTraining(**{"clip_norm": 0.7, **options}), parameters()
    step = descent(mine, settings, proximal_mu=pull)
    for number, rate in enumerate(RATES):
        step(gradients(number), rate)

    for parameter, expected, start in zip(mine, torchs(settings, pull), parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, atol=1e-6, rtol=0)
        assert (parameter - start).abs().max() > 0.01


def test_gradients_within_the_norm_are_left_alone():
    mine = [torch.zeros(2, requires_grad=True)]
    step = descent(mine, LocalTraining(clip_norm=5.1), proximal_mu=0.0)

    step([torch.tensor([3.0, 4.0])], 0.1)

    assert mine[0].tolist() == pytest.approx([-0.3, -0.4])


def test_the_norm_is_that_of_all_gradients_together():
    mine = [torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)]
    step = descent(mine, LocalTraining(clip_norm=1.0), proximal_mu=0.0)

    step([torch.tensor([3.0]), torch.tensor([4.0])], 1.0)

    assert [parameter.item() for parameter in mine] == pytest.approx([-0.6, -0.8])


@pytest.mark.slow
def test_a_step_does_not_load_torchs_compiler():
    code = """
import json, sys, torch
from fedlab.training.descent import descent
from fedlab.training.local import LocalTraining
for optimizer in ("sgd", "adamw"):
    parameter = torch.zeros(2, requires_grad=True)
    descent([parameter], LocalTraining(optimizer=optimizer), proximal_mu=0.0)([torch.ones(2)], 0.1)
print(json.dumps("torch._dynamo" in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
