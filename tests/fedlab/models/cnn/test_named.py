"""The networks as plain data have the sizes that were published of them."""

from itertools import pairwise

import pytest

from fedlab.errors import UserError
from fedlab.models.cnn.named import CONVNETS, convnet
from fedlab.workload.conv_shape import ConvShape, LayerCost

# Parameters less the biases of products, and multiply-adds, as torchvision and the common models for CIFAR have them.
_PUBLISHED = {
    "vgg11-imagenet": (132_863_336 - 11_944, 7.61e9),
    "vgg13-imagenet": (133_047_848 - 12_136, 11.31e9),
    "vgg16-imagenet": (138_357_544 - 13_416, 15.47e9),
    "vgg19-imagenet": (143_667_240 - 14_696, 19.63e9),
    "resnet18-imagenet": (11_689_512 - 1000, 1.81e9),
    "resnet34-imagenet": (21_797_672 - 1000, 3.66e9),
    "inception-v3-imagenet": (23_834_568 - 1000, 5.71e9),
    "resnet18": (11_173_962 - 10, 0.56e9),
    "resnet34": (21_282_122 - 10, 1.16e9),
}


@pytest.mark.parametrize("name", _PUBLISHED)
def test_a_network_has_its_published_parameters_and_products(name):
    parameters, macs = _PUBLISHED[name]
    shape = convnet(name)
    assert shape.parameters == parameters
    assert shape.macs == pytest.approx(macs, rel=0.01)


def test_mobilenet_v2_has_its_published_parameters():
    assert convnet("mobilenet-v2", labels=1000).parameters == 3_504_872


def test_lenet_with_62_labels_has_the_weights_that_q_fedupdate_sends():
    assert convnet("lenet", labels=62).parameters == 456_500


def test_vgg11_for_cifar_has_a_sixth_of_table_6s_operations_as_multiply_adds():
    assert 6 * convnet("vgg11").macs == pytest.approx(914e6, rel=0.005)


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [("vgg11", 8), ("vgg16", 13), ("vgg19", 16), ("resnet34", 36), ("resnet18", 20), ("inception-v3", 94),
     ("squeezenet", 26), ("googlenet", 57), ("alexnet", 5), ("mobilenet-v2", 52), ("vgg-small", 8)],
)  # fmt: skip
def test_a_network_has_its_convolutions(name, convolutions):
    assert convnet(name).convolutions == convolutions


def test_the_first_layer_of_vgg11_is_as_counted_by_hand():
    first = convnet("vgg11").layers[0]
    assert (first.macs, first.parameters) == (32 * 32 * 64 * 27, 64 * 27)
    assert (first.inputs, first.outputs, first.unfolded) == (3 * 1024, 64 * 1024, 27 * 1024)


def test_a_depthwise_convolution_multiplies_each_channel_alone():
    layer = next(each for each in convnet("mobilenet-v2").layers if each.kind == "depthwise")
    assert (layer.macs, layer.parameters, layer.outputs) == (32 * 9 * 112 * 112, 32 * 9, 32 * 112 * 112)


@pytest.mark.parametrize("name", CONVNETS)
def test_layers_count_something_and_the_last_one_has_the_labels(name):
    shape = convnet(name)
    assert shape.layers[-1].outputs == shape.labels == CONVNETS[name].labels
    assert all(layer.macs and layer.parameters for layer in shape.layers if layer.is_product)
    assert not any(layer.macs for layer in shape.layers if not layer.is_product)


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "lenet", "googlenet", "mobilenet-v2"])
def test_larger_images_take_more(name):
    _, height, _ = CONVNETS[name].input_shape
    shapes = [convnet(name, input_shape=(3, side, side)) for side in (height, height + 32, height + 64)]
    assert all(small.macs < large.macs for small, large in pairwise(shapes))
    assert all(small.activations < large.activations for small, large in pairwise(shapes))


def test_an_unknown_network_is_refused_with_those_that_exist():
    with pytest.raises(UserError, match="no convolutional network is called 'vgg12', accepted: lenet, alexnet"):
        convnet("vgg12")


def test_images_that_are_too_small_are_refused():
    with pytest.raises(UserError, match=r"lenet: Conv.* does not accept an example of shape \(1, 4, 4\)"):
        convnet("lenet", input_shape=(1, 4, 4))


def test_a_network_without_weights_is_refused():
    pool = LayerCost(name="pool", kind="pool", inputs=4, outputs=1, unfolded=4, channels=1)
    with pytest.raises(UserError, match="the network pools has no layer with weights"):
        ConvShape(name="pools", input_shape=(1, 2, 2), labels=1, layers=(pool,))


def test_a_layer_of_a_negative_size_is_refused():
    with pytest.raises(UserError, match="layer odd: inputs is -1"):
        LayerCost(name="odd", kind="pool", inputs=-1, outputs=1, unfolded=4, channels=1)
