"""Emulated training: exactly float32 without formats, and near it with those of each algorithm."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedlab.errors import UserError
from fedlab.models.cnn.layers import BatchNorm, Conv, Flatten, Linear, MaxPool, Relu
from fedlab.models.mixed_precision.algorithm import Algorithm, builtin_algorithms, parse_algorithm, read_algorithm
from fedlab.models.mixed_precision.emulated import EmulatedNetwork, initial_arrays
from fedlab.models.mixed_precision.update import UpdateState, updated_arrays
from fedlab.models.quantised.fake_quantised import FormatState

LAYERS = (
    Conv(inputs=2, outputs=6, kernel=(3, 3), padding=(1, 1), stride=(2, 2)),
    Relu(),
    Conv(inputs=6, outputs=8, kernel=(3, 3)),
    Relu(),
    MaxPool(kernel=(2, 2), stride=(2, 2)),
    Flatten(),
    Linear(inputs=8, outputs=4),
)
OUTPUTS = {"0.weight": (6, 4, 4), "2.weight": (8, 2, 2)}
EMULATED = [name for name in builtin_algorithms() if not name.startswith("niti")]


def batch():
    drawn = np.random.default_rng(0)
    return torch.from_numpy(drawn.standard_normal((24, 2, 8, 8))).float(), torch.from_numpy(drawn.integers(0, 4, 24))


def start(algorithm):
    arrays = initial_arrays(LAYERS, algorithm, OUTPUTS, np.random.default_rng(1))
    state = FormatState(draws=torch.Generator().manual_seed(0))
    return arrays, EmulatedNetwork(layers=LAYERS, algorithm=algorithm, state=state)


def float_gradients(arrays):
    images, labels = batch()
    leaves = {name: array.clone().requires_grad_() for name, array in arrays.items()}
    states = F.conv2d(images, leaves["0.weight"], stride=2, padding=1).relu()
    states = F.max_pool2d(F.conv2d(states, leaves["2.weight"]).relu(), 2).flatten(1)
    F.cross_entropy(states @ leaves["6.weight"].t(), labels).backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


def test_without_formats_it_is_float32():
    arrays, network = start(Algorithm())
    found, expected = network.gradients(arrays, *batch()), float_gradients(arrays)
    assert all(torch.allclose(found[name], expected[name], atol=1e-7) for name in expected)


def test_sums_in_chunks_of_float32_are_those_of_float32():
    sums = {"exponent_bits": 8, "mantissa_bits": 23, "chunk": 7}
    arrays, network = start(parse_algorithm({"sums": sums}, "x"))
    found, expected = network.gradients(arrays, *batch()), float_gradients(arrays)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_sums_in_a_narrow_format_are_rounded_chunk_by_chunk():
    layers = (Linear(inputs=5, outputs=1),)
    table = {"sums": {"exponent_bits": 6, "mantissa_bits": 2, "chunk": 2}}
    state = FormatState(draws=torch.Generator())
    network = EmulatedNetwork(layers=layers, algorithm=parse_algorithm(table, "x"), state=state)
    # Chunks: 1 + 8 = 9, which is 8 with 2 bits of mantissa; 1 + 1 = 2, 8 + 2 = 10; 1: 10 + 1 = 11, which is 12.
    found = network.logits({"0.weight": torch.tensor([[1.0, 8.0, 1.0, 1.0, 1.0]])}, torch.ones(1, 5))
    assert found.tolist() == [[12.0]]


@pytest.mark.parametrize("name", EMULATED)
def test_gradients_of_each_algorithm_point_where_those_of_floats_do(name):
    arrays, network = start(read_algorithm(name))
    weights = {key: array for key, array in arrays.items() if key.endswith("weight")}
    found, expected = network.gradients(arrays, *batch()), float_gradients(weights)
    for key, each in expected.items():
        least = 0.6 if name == "wageubn" else 0.9  # WAGEUBN clips activations to 1, whatever they are
        assert float(F.cosine_similarity(found[key].flatten(), each.flatten(), 0)) > least, key
        assert not torch.equal(found[key], each) or (key == "6.weight" and network.algorithm.layers == "convolutions")


@pytest.mark.parametrize("name", EMULATED)
def test_each_algorithm_learns(name):
    algorithm = read_algorithm(name)
    arrays, network = start(algorithm)
    images, labels = batch()
    update = UpdateState()

    def loss():
        return float(F.cross_entropy(network.logits(arrays, images), labels))

    before = loss()
    for _ in range(30):
        gradients = network.gradients(arrays, images, labels)
        arrays = updated_arrays(arrays, gradients, algorithm, epoch=0, update=update, formats=network.state)
    assert loss() < before - 0.02


def test_octo_trains_what_it_adds_behind_convolutions_with_the_gradients_of_its_definition():
    algorithm = read_algorithm("octo")
    arrays, network = start(algorithm)
    assert [name for name in arrays if name.startswith("0.")] == ["0.weight", "0.alpha", "0.mu", "0.offset"]
    assert arrays["0.alpha"].shape == (6, 4, 4)
    assert set(arrays["0.alpha"].flatten().tolist()) == {1.0}
    assert float(arrays["2.mu"].std()) == pytest.approx(1e-3, rel=0.4)
    found = network.gradients(arrays, *batch())
    assert torch.allclose(found["2.alpha"], found["2.offset"] * arrays["2.mu"], atol=1e-8)
    assert torch.allclose(found["2.mu"], found["2.offset"] * arrays["2.alpha"], atol=1e-8)


def test_the_ends_of_chunked_fp8_are_kept_in_16_bits():
    _, network = start(read_algorithm("chunk-fp8"))
    widths = [network.format_of("weights", place).mantissa_bits for place in ("0", "2", "6")]
    assert widths == [9, 2, 9]


def test_a_layer_that_is_not_emulated_is_named():
    state = FormatState(draws=torch.Generator())
    network = EmulatedNetwork(layers=(Relu(), BatchNorm(channels=2)), algorithm=Algorithm(), state=state)
    with pytest.raises(UserError, match="layer 1: emulated training has no BatchNorm"):
        network.logits({}, torch.ones(1, 2, 4, 4))
