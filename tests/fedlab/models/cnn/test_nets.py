"""Networks for images have the sizes that were published of them."""

import numpy as np
import pytest

from fedlab.config.builtins import CONVOLUTIONAL
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.cnn.sizes import conv_sizes

CIFAR, MNIST, IMAGENET = (3, 32, 32), (1, 28, 28), (3, 224, 224)


def sizes(name, shape, labels, base=None):
    return conv_sizes(BackboneTable(name=name), shape, labels, base=base)


@pytest.mark.parametrize(
    ("name", "shape", "labels", "weights"),
    [
        ("lenet", MNIST, 62, 456_500),  # of Q-FedUpdate's FEMNIST
        ("vgg16", CIFAR, 100, 14_761_664),  # of its CIFAR-100
        ("vgg11", IMAGENET, 1000, 132_863_336 - 11_944),  # torchvision's, less their biases
        ("vgg19", IMAGENET, 1000, 143_667_240 - 14_696),
        ("resnet18", IMAGENET, 1000, 11_689_512 - 1000),
        ("resnet34", IMAGENET, 1000, 21_797_672 - 1000),
        ("resnet18", CIFAR, 10, 11_173_962 - 10),  # of the usual networks for CIFAR
        ("resnet34", CIFAR, 10, 21_282_122 - 10),
        ("inception-v3", (3, 299, 299), 1000, 23_834_568 - 1000),
    ],
)
def test_a_network_has_its_published_number_of_weights(name, shape, labels, weights):
    assert sizes(name, shape, labels).shape.parameters == weights


@pytest.mark.parametrize(
    ("name", "shape", "labels", "convolutions", "millions"),
    [
        ("lenet", MNIST, 10, 2, 2.293),
        ("vgg11", CIFAR, 10, 8, 152.8),
        ("vgg16", CIFAR, 10, 13, 313.2),
        ("vgg19", IMAGENET, 1000, 16, 19_632),
        ("vgg-small", CIFAR, 10, 8, 909.6),
        ("resnet18", IMAGENET, 1000, 20, 1_814),
        ("resnet34", CIFAR, 10, 36, 1_159),
        ("inception-v3", (3, 299, 299), 1000, 94, 5_713),
        ("inception-v3", CIFAR, 10, 94, 3_096),
    ],
)
def test_a_network_has_its_convolutions_and_multiplications(name, shape, labels, convolutions, millions):
    found = sizes(name, shape, labels).shape
    assert found.convolutions == convolutions
    assert found.macs / 1e6 == pytest.approx(millions, rel=1e-3)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_arrays_are_as_many_as_the_cost_model_counts_and_are_drawn_by_the_seed(name):
    found = sizes(name, CIFAR, 7)
    trained = {array: shape for array, shape in found.shapes().items() if array not in found.statistics}
    assert sum(int(np.prod(shape)) for shape in trained.values()) == found.shape.parameters
    assert list(trained.values())[-1][0] == 7


def test_matrices_are_drawn_with_the_variance_of_glorot():
    first, second = (sizes("lenet", MNIST, 10).initial(np.random.default_rng(seed)) for seed in (1, 1))
    assert all((first[name] == second[name]).all() for name in first)
    assert first["7.weight"].std() == pytest.approx((2 / (800 + 500)) ** 0.5, rel=0.01)
    assert first["3.weight"].std() == pytest.approx((2 / (25 * (20 + 50))) ** 0.5, rel=0.02)


def test_images_that_are_too_small_are_refused_with_the_layer():
    with pytest.raises(UserError, match=r"backbone.name = 'vgg11': does not accept images of 1 x 28 x 28 .*MaxPool"):
        sizes("vgg11", MNIST, 10)


def test_a_users_own_network_is_a_function_that_returns_layers(tmp_path):
    lines = [
        "from math import prod",
        "from fedlab.api import Flatten, Linear",
        "def mine(shape, labels):",
        "    return (Flatten(), Linear(inputs=prod(shape), outputs=labels))",
        "def wrong(shape, labels):",
        "    return ('a layer',)",
        "def short(shape, labels):",
        "    return (Flatten(),)",
        "def broken(shape, labels):",
        "    return 1 / 0",
    ]
    (tmp_path / "nets.py").write_text("\n".join(lines))
    assert sizes("nets.py:mine", (1, 4, 4), 3, tmp_path).shape.parameters == 48
    for name, said in [
        ("wrong", "returned .*expected layers of fedlab.models.cnn.layers"),
        ("short", "ends in the shape .16,., expected a number for each of 3 labels"),
        ("broken", r"raised ZeroDivisionError: division by zero \(nets.py, line 10\)"),
    ]:
        with pytest.raises(UserError, match=f"backbone.name = 'nets.py:{name}'.*{said}"):
            sizes(f"nets.py:{name}", (1, 4, 4), 3, tmp_path)


def test_weights_are_drawn_normal_or_uniform_with_the_same_variance():
    def drawn(**keys):
        sizes = conv_sizes(BackboneTable(name="lenet", **keys), (1, 28, 28), 10, base=None)
        return sizes.initial(np.random.default_rng(0))["7.weight"]

    normal, uniform = drawn(), drawn(initial="xavier-uniform")
    assert normal.std() == pytest.approx(uniform.std(), rel=0.01)
    assert np.abs(uniform).max() <= 3**0.5 * (2 / (800 + 500)) ** 0.5 < np.abs(normal).max()
