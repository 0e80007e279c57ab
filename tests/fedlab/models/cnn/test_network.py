"""The float arithmetic of networks for images is torch's."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedlab.config.schema import BackboneTable
from fedlab.data.pixel_scaling import PixelScaling
from fedlab.models.cnn.compute import LayerPass
from fedlab.models.cnn.layers import (
    AveragePool,
    BatchNorm,
    Branches,
    Conv,
    DropoutLayer,
    Flatten,
    Linear,
    Relu,
    Residual,
    shape_after,
)
from fedlab.models.cnn.network import ConvBackbone, ConvNetwork
from fedlab.models.cnn.sizes import ConvSizes, conv_sizes
from fedlab.models.peft.base import SplitPoint

AT = SplitPoint(kind="inputs", block=0)


def network_of(layers, input_shape, labels=3):
    sizes = ConvSizes(name="tiny", layers=layers, input_shape=input_shape, labels=labels)
    scaling = PixelScaling(mean=(0.5,) * input_shape[0], std=(0.25,) * input_shape[0])
    return ConvNetwork(encoder=ConvBackbone(sizes=sizes), scaling=scaling)


def parameters_of(network, seed=0):
    arrays = network.encoder.sizes.initial(np.random.default_rng(seed))
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def pixels_of(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8))


def logits(network, pixels, parameters):
    return network.logits(pixels, torch.ones(len(pixels)), parameters, AT)


def test_lenet_computes_what_torch_computes_of_its_weights():
    sizes = conv_sizes(BackboneTable(name="lenet"), (1, 28, 28), 10, base=None)
    network = ConvNetwork(encoder=ConvBackbone(sizes=sizes), scaling=PixelScaling(mean=(0.1,), std=(0.3,)))
    parameters, pixels = parameters_of(network), pixels_of(4, 1, 28, 28)
    first, second, third, fourth = parameters.values()
    states = F.max_pool2d(F.relu(F.conv2d((pixels / 255 - 0.1) / 0.3, first)), 2)
    states = F.max_pool2d(F.relu(F.conv2d(states, second)), 2).flatten(1)
    expected = F.relu(states @ third.T) @ fourth.T
    torch.testing.assert_close(logits(network, pixels, parameters), expected)


def test_residual_sums_and_branches_are_computed_from_the_same_input():
    conv = Conv(inputs=2, outputs=2, kernel=(3, 3), padding=(1, 1))
    wide = Conv(inputs=2, outputs=1, kernel=(1, 1))
    layers = (Residual(body=(conv,)), Branches(ways=((wide,), ())), AveragePool(), Flatten())
    arrays = {
        "0.body.0.weight": torch.randn(2, 2, 3, 3),
        "1.ways.0.0.weight": torch.randn(1, 2, 1, 1),
    }
    states = torch.randn(3, 2, 5, 5)
    summed = states + F.conv2d(states, arrays["0.body.0.weight"], padding=1)
    expected = torch.cat([F.conv2d(summed, arrays["1.ways.0.0.weight"]), summed], 1).mean((2, 3))
    found = LayerPass(arrays=arrays, training=False).through(layers, states)
    torch.testing.assert_close(found, expected)
    assert found.shape[1:] == shape_after(layers, (2, 5, 5))


def test_batch_norm_moves_its_statistics_in_training_and_uses_them_to_measure():
    layers = (BatchNorm(channels=1), Flatten(), Linear(inputs=4, outputs=3))
    network = network_of(layers, (1, 2, 2))
    parameters, pixels = parameters_of(network), pixels_of(8, 1, 2, 2)
    assert network.statistics == {"0.running_mean", "0.running_var"}
    before = logits(network, pixels, parameters)
    network.loss(pixels, torch.ones(8), torch.zeros(8, dtype=torch.long), parameters, AT, 1)
    scaled = network.scaled(pixels)
    torch.testing.assert_close(parameters["0.running_mean"], 0.1 * scaled.mean().reshape(1))
    torch.testing.assert_close(parameters["0.running_var"], (0.9 + 0.1 * scaled.var()).reshape(1))
    assert not torch.allclose(logits(network, pixels, parameters), before)
    alone = torch.cat([logits(network, pixel[None], parameters) for pixel in pixels])
    torch.testing.assert_close(logits(network, pixels, parameters), alone)


def test_models_side_by_side_have_the_losses_that_each_has_alone():
    network = network_of((Flatten(), Linear(inputs=4, outputs=5), Relu(), Linear(inputs=5, outputs=3)), (1, 2, 2))
    models = [parameters_of(network, seed) for seed in (1, 2)]
    pixels, labels = pixels_of(6, 1, 2, 2), torch.tensor([0, 1, 2, 2, 1, 0])
    stacked = {name: torch.stack([model[name] for model in models]) for name in models[0]}
    found = network.loss(pixels, torch.ones(6), labels, stacked, AT, 2)
    alone = [
        network.loss(pixels[part], torch.ones(3), labels[part], model, AT, 1)
        for part, model in zip((slice(0, 3), slice(3, 6)), models, strict=True)
    ]
    torch.testing.assert_close(found, torch.cat(alone))
    lone = {name: array[None] for name, array in models[0].items()}
    torch.testing.assert_close(network.loss(pixels[:3], torch.ones(3), labels[:3], lone, AT, 1), alone[0])


def test_dropout_is_drawn_by_the_seed_and_only_in_training():
    network = network_of((Flatten(), DropoutLayer(probability=0.5), Linear(inputs=64, outputs=3)), (1, 8, 8))
    parameters, pixels, labels = parameters_of(network), pixels_of(4, 1, 8, 8), torch.zeros(4, dtype=torch.long)

    def loss(drawing):
        return float(drawing.loss(pixels, torch.ones(4), labels, parameters, AT, 1))

    losses = [loss(network.drawing(seed)) for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert loss(network) == float(F.cross_entropy(logits(network.drawing(1), pixels, parameters), labels))


def test_half_of_the_values_are_dropped_and_the_others_doubled():
    states = torch.ones(1000, 10)
    layers = LayerPass(arrays={}, training=True, draws=torch.Generator().manual_seed(1))
    found = layers.through((DropoutLayer(probability=0.5),), states)
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert float(found.mean()) == pytest.approx(1.0, abs=0.05)


def test_training_lowers_the_loss():
    layers = (Conv(inputs=1, outputs=4, kernel=(3, 3)), Relu(), Flatten(), Linear(inputs=64, outputs=3))
    network = network_of(layers, (1, 6, 6))
    parameters = {name: array.requires_grad_() for name, array in parameters_of(network).items()}
    pixels, labels, losses = pixels_of(12, 1, 6, 6), torch.arange(12) % 3, []
    for _ in range(60):
        loss = network.loss(pixels, torch.ones(12), labels, parameters, AT, 1).sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        with torch.no_grad():
            for parameter, gradient in zip(parameters.values(), gradients, strict=True):
                parameter.sub_(gradient, alpha=0.05)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]
    assert all(later < earlier for earlier, later in pairwise(losses))
