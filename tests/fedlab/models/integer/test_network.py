"""NITI's forward, backward and update: exact integers, whatever the parts and threads, and the direction of floats."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fedlab.errors import UserError
from fedlab.models.cnn.layers import (
    BatchNorm,
    Conv,
    DropoutLayer,
    Flatten,
    Linear,
    MaxPool,
    Relu,
    Residual,
    weight_shapes,
)
from fedlab.models.integer import network, products
from fedlab.models.integer.network import (
    CURRENT,
    FIRST,
    IntegerPass,
    check_integer_layers,
    initial_weights,
    logits_of,
    loss_draws,
    loss_gradients,
    quantised_inputs,
    stepped,
    stepped_wide,
    summed,
)
from fedlab.models.integer.rescaling import Rescaling
from fedlab.models.integer.tensor import IntegerTensor
from fedlab.models.integer.update import widened

SAME = Conv(inputs=6, outputs=6, kernel=(3, 3), padding=(1, 1))
LAYERS = (
    Conv(inputs=3, outputs=6, kernel=(5, 5), padding=(2, 2)),
    Relu(),
    MaxPool(kernel=(2, 2), stride=(2, 2)),
    Residual(body=(SAME, Relu(), SAME), shortcut=(Conv(inputs=6, outputs=6, kernel=(1, 1)),)),
    Relu(),
    MaxPool(kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
    Flatten(),
    DropoutLayer(),
    Linear(inputs=24, outputs=12),
    Relu(),
    Linear(inputs=12, outputs=4),
)


def batch(count=16, seed=0):
    drawn = np.random.default_rng(seed)
    images = torch.from_numpy(drawn.standard_normal((count, 3, 8, 8))).float()
    return images, torch.from_numpy(drawn.integers(0, 4, count))


def gradients(rules, *, parts=1, dropout=None, weights=None, rescaling=None):
    images, labels = batch()
    weights = weights or initial_weights(weight_shapes(LAYERS), rules, np.random.default_rng(1))
    drawn = None if dropout is None else np.random.default_rng(dropout)
    run = IntegerPass(rules=rules, parts=parts, dropout=drawn, rescaling=rescaling or Rescaling())
    draws = loss_draws(np.random.default_rng(2), len(images), 4)
    return loss_gradients(LAYERS, weights, quantised_inputs(images, rules), labels, draws, run), weights


class _Dtypes(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.seen |= {each.dtype for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)}
        return result


@pytest.mark.parametrize("rules", [FIRST, replace(CURRENT, decay=True, wide_weights=True)], ids=["first", "current"])
def test_no_float_is_in_the_path_of_a_step(rules, monkeypatch):
    monkeypatch.setattr(products, "int_kernel_is_faster", lambda device: True)
    images, labels = batch()
    weights = initial_weights(weight_shapes(LAYERS), rules, np.random.default_rng(1))
    inputs, draws = quantised_inputs(images, rules), loss_draws(np.random.default_rng(2), len(images), 4)
    with _Dtypes() as dtypes:
        run = IntegerPass(rules=rules, dropout=np.random.default_rng(3), rescaling=Rescaling(adaptive=True))
        found = loss_gradients(LAYERS, weights, inputs, labels, draws, run)
        stepped(weights, found, 2, rules)
        stepped_wide({name: widened(each.mantissa) for name, each in weights.items()}, weights, found, 2, rules)
    assert {torch.int8, torch.int32, torch.int64} <= dtypes.seen
    assert not [dtype for dtype in dtypes.seen if dtype.is_floating_point or dtype.is_complex]


@pytest.mark.parametrize("rules", [FIRST, CURRENT], ids=["first", "current"])
@pytest.mark.parametrize("parts", [2, 4, 8, 16, 100])
def test_a_batch_in_parts_gives_the_same_bits(rules, parts):
    whole, _ = gradients(rules, dropout=5)
    cut, _ = gradients(rules, dropout=5, parts=parts)
    assert whole.keys() == cut.keys() == weight_shapes(LAYERS).keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_both_kernels_and_any_number_of_threads_give_the_same_bits(monkeypatch):
    expected, _ = gradients(FIRST)
    before = torch.get_num_threads()
    for threads, by_integers in ((1, True), (1, False), (2, False)):
        monkeypatch.setattr(products, "int_kernel_is_faster", lambda device, chosen=by_integers: chosen)
        torch.set_num_threads(threads)
        try:
            found, _ = gradients(FIRST)
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_linear_layer_by_hand():
    layers = (Linear(inputs=2, outputs=2),)
    weights = {"0.weight": IntegerTensor(mantissa=torch.tensor([[100, 0], [50, -100]], dtype=torch.int8), exponent=-8)}
    inputs = IntegerTensor(mantissa=torch.tensor([[80, 20], [0, 1]], dtype=torch.int8), exponent=-5)
    # Sums: 8000, 2000 and 0, -100; the width of 8000 is 13, so all are shifted by 6: 125, 31.25, 0, -1.6.
    found = logits_of(layers, weights, inputs, CURRENT)
    assert found.mantissa.tolist() == [[125, 31], [0, -2]]
    assert found.exponent == -8 - 5 + 6


@pytest.mark.parametrize(("rules", "exponent", "numbers"), [(FIRST, 2, [50, -25]), (CURRENT, 1, [100, -50])])
def test_the_first_version_shifts_by_2_where_1_would_do(rules, exponent, numbers):
    weights = {"0.weight": IntegerTensor(mantissa=torch.tensor([[2], [-1]], dtype=torch.int8), exponent=0)}
    inputs = IntegerTensor(mantissa=torch.tensor([[100]], dtype=torch.int8), exponent=0)
    found = logits_of((Linear(inputs=1, outputs=2),), weights, inputs, rules)
    assert found.mantissa.tolist() == [numbers]
    assert found.exponent == exponent


def test_a_sum_of_128_does_not_wrap():
    weights = {"0.weight": IntegerTensor(mantissa=torch.tensor([[64], [-64]], dtype=torch.int8), exponent=0)}
    inputs = IntegerTensor(mantissa=torch.tensor([[2]], dtype=torch.int8), exponent=0)
    found = logits_of((Linear(inputs=1, outputs=2),), weights, inputs, CURRENT)
    assert found.mantissa.tolist() == [[127, -127]]
    assert found.exponent == 0


def one(number, exponent):
    return IntegerTensor(mantissa=torch.tensor([number], dtype=torch.int8), exponent=exponent)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((20, 0), (30, 0), (50, 0)),
        ((20, 0), (30, 1), (80, 0)),  # by 1: the other one is doubled
        ((20, 0), (30, 3), (33, 3)),  # 20 / 8 is 2.5
        ((100, 2), (100, 2), (50, 4)),  # above 127: shifted by 2
        ((-100, 0), (-100, 0), (-50, 2)),
    ],
)
def test_two_tensors_are_added_at_one_exponent(left, right, expected):
    for pair in ((left, right), (right, left)):
        found = summed(one(*pair[0]), one(*pair[1]), "nearest")
        assert (found.mantissa.tolist(), found.exponent) == ([expected[0]], expected[1])


def test_logits_are_those_of_floats_but_for_rounding():
    images, _ = batch()
    weights = initial_weights(weight_shapes(LAYERS), CURRENT, np.random.default_rng(1))
    found = logits_of(LAYERS, weights, quantised_inputs(images, CURRENT), CURRENT).floats()
    expected = float_logits({name: each.floats() for name, each in weights.items()}, images)
    assert float((found - expected).norm() / expected.norm()) < 0.05


def float_logits(weights, images):
    states = F.max_pool2d(F.conv2d(images, weights["0.weight"], padding=2).relu(), 2)
    body = F.conv2d(states, weights["3.body.0.weight"], padding=1).relu()
    body = F.conv2d(body, weights["3.body.2.weight"], padding=1)
    states = (body + F.conv2d(states, weights["3.shortcut.0.weight"])).relu()
    states = F.max_pool2d(states, 3, 2, 1).flatten(1)
    return (states @ weights["8.weight"].t()).relu() @ weights["10.weight"].t()


@pytest.mark.parametrize("rules", [FIRST, CURRENT], ids=["first", "current"])
def test_gradients_point_where_those_of_floats_do(rules):
    found, weights = gradients(rules)
    images, labels = batch()
    inputs = quantised_inputs(images, rules)
    floats = {name: each.floats().requires_grad_() for name, each in weights.items()}
    states = inputs.floats().permute(0, 3, 1, 2)
    F.cross_entropy(float_logits(floats, states), labels, reduction="sum").backward()
    for name, each in found.items():
        cosine = F.cosine_similarity(each.double().flatten(), floats[name].grad.double().flatten(), 0)
        assert float(cosine) > 0.8, name  # the whole powers of two of the loss are coarse


@pytest.mark.parametrize("rules", [FIRST, CURRENT], ids=["first", "current"])
def test_training_learns_a_small_batch_by_heart(rules):
    images, labels = batch()
    weights = initial_weights(weight_shapes(LAYERS), rules, np.random.default_rng(1))
    inputs, drawn = quantised_inputs(images, rules), np.random.default_rng(2)
    for _ in range(60):
        found = loss_gradients(
            LAYERS, weights, inputs, labels, loss_draws(drawn, len(images), 4), IntegerPass(rules=rules)
        )
        weights = stepped(weights, found, 2, rules)
    right = logits_of(LAYERS, weights, inputs, rules).mantissa.argmax(1) == labels
    assert int(right.sum()) >= 14
    assert all(each.mantissa.dtype == torch.int8 for each in weights.values())


def test_dropout_is_one_mask_for_the_batch_and_doubles_what_it_leaves():
    layers = (DropoutLayer(), Linear(inputs=64, outputs=64))
    identity = torch.eye(64, dtype=torch.int8) * 64
    weights = {"1.weight": IntegerTensor(mantissa=identity, exponent=-6)}
    inputs = IntegerTensor(mantissa=torch.full((3, 64), 100, dtype=torch.int8), exponent=-7)
    run = IntegerPass(rules=CURRENT, dropout=np.random.default_rng(0))
    found, _ = network._Network(weights=weights, computed=run).forward(layers, inputs, "", first=True)
    assert set(found.floats().flatten().tolist()) == {0.0, 2 * 100 / 128}
    assert torch.equal(found.mantissa[0], found.mantissa[2])
    assert 16 < int((found.mantissa[0] > 0).sum()) < 48
    assert set(logits_of(layers, weights, inputs, CURRENT).floats().flatten().tolist()) == {100 / 128}


def test_a_reused_shift_clips_and_counts_what_it_cannot_hold():
    rescaling = Rescaling(adaptive=True, steps_in_epoch=1000)
    rescaling.record_found("1.activation", 2, 0, 0)
    rescaling.histories["1.activation"] = replace(rescaling.histories["1.activation"], due=10)
    weights = {"1.weight": IntegerTensor(mantissa=torch.tensor([[10], [1]], dtype=torch.int8), exponent=0)}
    inputs = IntegerTensor(mantissa=torch.tensor([[100], [-100]], dtype=torch.int8), exponent=0)
    run = IntegerPass(rules=CURRENT, rescaling=rescaling)
    layers = (Flatten(), Linear(inputs=1, outputs=2))
    found, _ = network._Network(weights=weights, computed=run).forward(layers, inputs, "", first=True)
    assert found.mantissa.tolist() == [[127, 25], [-127, -25]]  # 1000 / 4 is above 127
    history = rescaling.histories["1.activation"]
    assert (history.saturated, history.reused, history.due) == (2, 1, 1)  # so the next step looks for it


def test_initial_weights_have_xaviers_spread_stretched_to_127_levels():
    shapes = {"0.weight": (64, 32, 3, 3)}
    spread = (2 / (96 * 9)) ** 0.5
    for rules, largest in ((CURRENT, spread * 3**0.5), (FIRST, None)):
        (weight,) = initial_weights(shapes, rules, np.random.default_rng(0)).values()
        assert int(weight.mantissa.abs().max()) == 127
        if largest:
            power = 2.0 ** np.ceil(np.log2(largest))
            assert float(weight.floats().abs().max()) == pytest.approx(127 / 128 * power)
            assert float(weight.floats().std()) == pytest.approx(spread * power / largest, rel=0.03)


@pytest.mark.parametrize("layer", [BatchNorm(channels=3), DropoutLayer(probability=0.1)])
def test_layers_that_integers_cannot_compute_are_refused_with_their_place(layer):
    with pytest.raises(UserError, match=r"layer 0\.body\.1"):
        check_integer_layers((Residual(body=(Relu(), layer)),))
    check_integer_layers(LAYERS)
