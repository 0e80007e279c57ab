"""The description of convolutional layers: shapes, and the names and shapes of what is trained."""

import pytest

from fedlab.models.cnn.layers import (
    AveragePool,
    BatchNorm,
    Branches,
    Conv,
    DropoutLayer,
    Flatten,
    Linear,
    MaxPool,
    Relu,
    Residual,
    shape_after,
    weight_shapes,
)

LENET = (
    Conv(inputs=1, outputs=20, kernel=(5, 5)),
    Relu(),
    MaxPool(kernel=(2, 2), stride=(2, 2)),
    Conv(inputs=20, outputs=50, kernel=(5, 5)),
    Relu(),
    MaxPool(kernel=(2, 2), stride=(2, 2)),
    Flatten(),
    Linear(inputs=800, outputs=500),
    Relu(),
    Linear(inputs=500, outputs=10),
)


def test_lenet_on_28_by_28_pixels_ends_in_ten_logits():
    assert shape_after(LENET[:6], (1, 28, 28)) == (50, 4, 4)
    assert shape_after(LENET, (1, 28, 28)) == (10,)


def test_weights_are_named_by_the_places_of_their_layers():
    assert weight_shapes(LENET) == {
        "0.weight": (20, 1, 5, 5),
        "3.weight": (50, 20, 5, 5),
        "7.weight": (500, 800),
        "9.weight": (10, 500),
    }


def test_weights_within_other_layers_have_their_way_in_the_name():
    conv, norm = Conv(inputs=4, outputs=4, kernel=(3, 3), padding=(1, 1)), BatchNorm(channels=4)
    layers = (Residual(body=(conv, norm), shortcut=(conv,)), Branches(ways=((), (conv,))))
    assert list(weight_shapes(layers)) == [
        "0.body.0.weight",
        "0.body.1.weight",
        "0.body.1.bias",
        "0.shortcut.0.weight",
        "1.ways.1.0.weight",
    ]
    assert shape_after(layers, (4, 6, 6)) == (8, 6, 6)


@pytest.mark.parametrize(
    ("layer", "before", "after"),
    [
        (Conv(inputs=3, outputs=8, kernel=(1, 7), padding=(0, 3)), (3, 17, 17), (8, 17, 17)),
        (Conv(inputs=3, outputs=8, kernel=(3, 3), stride=(2, 2)), (3, 32, 32), (8, 15, 15)),
        (MaxPool(kernel=(3, 3), stride=(2, 2), padding=(1, 1)), (8, 16, 16), (8, 8, 8)),
        (AveragePool(), (8, 7, 7), (8, 1, 1)),
        (AveragePool(kernel=(3, 3), stride=(1, 1), padding=(1, 1)), (8, 7, 7), (8, 7, 7)),
        (DropoutLayer(), (8, 7, 7), (8, 7, 7)),
    ],
)
def test_windows_move_as_torchs_do(layer, before, after):
    assert shape_after((layer,), before) == after


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv(inputs=3, outputs=8, kernel=(3, 3)), (1, 28, 28)),
        (Conv(inputs=3, outputs=8, kernel=(3, 3)), (3, 2, 2)),
        (Conv(inputs=3, outputs=8, kernel=(3, 3)), (27,)),
        (Linear(inputs=10, outputs=2), (11,)),
        (BatchNorm(channels=4), (3, 8, 8)),
        (Residual(body=(Linear(inputs=4, outputs=2),)), (4,)),
    ],
)
def test_an_example_that_a_layer_does_not_accept_is_named_with_the_layer(layer, shape):
    with pytest.raises(ValueError, match=type(layer).__name__ + r".* does not accept an example of shape"):
        shape_after((layer,), shape)
