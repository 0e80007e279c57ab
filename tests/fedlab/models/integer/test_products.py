"""Exact sums of products, against float64, by both kernels and past what float32 holds."""

import pytest
import torch
import torch.nn.functional as F

from fedlab.models.cnn.layers import Conv
from fedlab.models.integer import float_convolution, products


@pytest.fixture(params=["integers", "windows of floats", "convolutions of floats"])
def kernel(request, monkeypatch):
    monkeypatch.setattr(products, "int_kernel_is_faster", lambda device: request.param == "integers")
    if request.param == "windows of floats":
        monkeypatch.setattr(float_convolution, "is_direct", lambda device_type: False)


def numbers(*shape, seed=0, largest=127):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-largest, largest + 1, shape, generator=generator).to(torch.int8)


def channels_first(tensor):
    return tensor.permute(0, 3, 1, 2).double()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("terms", [1, 7, 1040, 1041, 4608])
def test_a_matrix_product_is_exact_for_any_number_of_terms(terms):
    left, right = numbers(5, terms), numbers(terms, 3, seed=1)
    found = products.matrix_product(left, right)
    assert found.dtype == torch.int32
    assert torch.equal(found.double(), left.double() @ right.double())


@pytest.mark.usefixtures("kernel")
def test_sums_of_the_largest_products_are_exact_where_float32_is_not():
    left = torch.full((2, 4608), 127, dtype=torch.int8)
    assert products.matrix_product(left, left.t()).tolist() == [[4608 * 127**2] * 2] * 2
    rows = torch.full((4608, 2), 127, dtype=torch.int8)
    assert products.summed_product(rows, rows).tolist() == [[4608 * 127**2] * 2] * 2


def test_sums_past_int32_are_exact_too(monkeypatch):
    monkeypatch.setattr(products, "int_kernel_is_faster", lambda device: False)
    rows = torch.full((140_000, 1), 127, dtype=torch.int8)
    assert products.summed_product(rows, -rows).tolist() == [[-140_000 * 127**2]]


CONVS = [
    Conv(inputs=4, outputs=6, kernel=(3, 3)),
    Conv(inputs=4, outputs=6, kernel=(3, 3), padding=(1, 1)),
    Conv(inputs=4, outputs=6, kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
    Conv(inputs=1, outputs=5, kernel=(5, 5)),
    Conv(inputs=3, outputs=2, kernel=(1, 7), stride=(1, 2), padding=(0, 3)),
    Conv(inputs=130, outputs=2, kernel=(3, 3)),
]


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("layer", CONVS, ids=str)
def test_a_convolution_and_both_its_gradients_are_those_of_float64(layer):
    inputs, weight = numbers(3, 9, 8, layer.inputs), numbers(layer.outputs, layer.inputs, *layer.kernel, seed=1)
    options = {"stride": layer.stride, "padding": layer.padding}
    first, doubles = channels_first(inputs), weight.double()
    found = products.conv_product(inputs, weight, layer)
    assert found.dtype == torch.int32
    assert torch.equal(channels_first(found), F.conv2d(first, doubles, **options))

    errors = numbers(*found.shape, seed=2)
    gradient = products.conv_weight_product(inputs, errors, layer)
    assert gradient.dtype == torch.int32
    expected = torch.nn.grad.conv2d_weight(first, weight.shape, channels_first(errors), **options)
    assert torch.equal(gradient.double(), expected)

    below = products.conv_input_product(errors, weight, layer, (9, 8))
    assert below.dtype == torch.int32
    expected = torch.nn.grad.conv2d_input(first.shape, doubles, channels_first(errors), **options)
    assert torch.equal(channels_first(below), expected)


@pytest.mark.parametrize("layer", CONVS[1:4], ids=str)
def test_windows_that_do_not_fit_the_cache_at_once_give_the_same_sums(layer, monkeypatch):
    inputs, weight = numbers(7, 9, 8, layer.inputs), numbers(layer.outputs, layer.inputs, *layer.kernel, seed=1)
    whole = products.conv_product(inputs, weight, layer)
    errors = numbers(*whole.shape, seed=2)
    gradient = products.conv_weight_product(inputs, errors, layer)
    below = products.conv_input_product(errors, weight, layer, (9, 8))
    monkeypatch.setattr(float_convolution, "is_direct", lambda device_type: False)
    monkeypatch.setattr(products, "_ELEMENTS", 5000)
    assert torch.equal(products.conv_product(inputs, weight, layer), whole)
    assert torch.equal(products.conv_weight_product(inputs, errors, layer), gradient)
    assert torch.equal(products.conv_input_product(errors, weight, layer, (9, 8)), below)


def test_terms_are_cut_only_where_magnitudes_ask_for_it():
    assert products._cuts(torch.ones(4608, 2, dtype=torch.int8)) == [4608]
    assert products._cuts(torch.full((2000, 2), 127, dtype=torch.int8)) == [1000, 1000]
    assert sum(products._cuts(numbers(4607, 3))) == 4607


def test_channels_are_cut_where_single_precision_would_not_hold_a_sum():
    layer = Conv(inputs=512, outputs=2, kernel=(3, 3), padding=(1, 1))
    inputs = torch.full((1, 3, 3, 512), 127, dtype=torch.int8)
    weight = torch.full((2, 512, 3, 3), 127, dtype=torch.int8)
    assert float_convolution.channel_cuts(weight.abs().sum((2, 3), dtype=torch.int64)) == [64] * 8
    found = products.conv_product(inputs, weight, layer)
    assert int(found[0, 1, 1, 0]) == 512 * 9 * 127**2  # of which float32 keeps no odd ones
    errors = torch.full((1, 3, 3, 2), 127, dtype=torch.int8)
    wide = products.conv_weight_product(inputs.repeat(200, 1, 1, 1), errors.repeat(200, 1, 1, 1), layer)
    assert int(wide[0, 0, 1, 1]) == 200 * 9 * 127**2


def test_what_no_cut_makes_exact_is_left_to_windows():
    assert float_convolution.channel_cuts(torch.full((1, 2), float_convolution.EXACT)) is None
    layer = Conv(inputs=1, outputs=1, kernel=(33, 33))
    inputs, weight = (
        torch.full((1, 33, 33, 1), 127, dtype=torch.int8),
        torch.full((1, 1, 33, 33), 127, dtype=torch.int8),
    )
    assert products.conv_product(inputs, weight, layer).tolist() == [[[[33 * 33 * 127**2]]]]
