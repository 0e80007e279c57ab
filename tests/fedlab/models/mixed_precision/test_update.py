"""Updates of stored weights, by hand."""

import pytest
import torch

from fedlab.models.mixed_precision.algorithm import Algorithm, parse_algorithm, read_algorithm
from fedlab.models.mixed_precision.update import UpdateState, updated_arrays
from fedlab.models.quantised.fake_quantised import FormatState


def steps(algorithm, start, gradients, epoch=0):
    arrays = {"0.weight": torch.tensor(start)}
    update, formats = UpdateState(), FormatState(draws=torch.Generator().manual_seed(0))
    for gradient in gradients:
        found = {"0.weight": torch.tensor(gradient)}
        arrays = updated_arrays(arrays, found, algorithm, epoch=epoch, update=update, formats=formats)
    return arrays["0.weight"].tolist()


def test_sgd_with_momentum_and_decay():
    rule = {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.01}
    algorithm = parse_algorithm({"update": rule}, "x")
    # v = 1 + 0.01, w = 1 - 0.101; v = 0.5 * 1.01 + 1 + 0.00899, w = 0.899 - 0.151399
    assert steps(algorithm, [1.0], [[1.0], [1.0]]) == pytest.approx([0.747601])


def test_adam_moves_by_its_rate_at_first():
    algorithm = parse_algorithm({"update": {"rule": "adam", "learning_rate": 0.01}}, "x")
    assert steps(algorithm, [1.0, 1.0], [[5.0, -0.001]]) == pytest.approx([0.99, 1.01], abs=1e-5)


def test_a_normalised_step_depends_on_the_ratio_to_the_largest_alone():
    algorithm = read_algorithm("wageubn")
    # 0.05 * 1 / 2^7 * 2^14 = 6.4: 6 levels of 2^-14; half of it: 3.2: 3
    expected = [-6 * 2.0**-14, 3 * 2.0**-14, 0.0]
    for scale in (1.0, 2.0**-20, 2.0**10):
        assert steps(algorithm, [0.0, 0.0, 0.0], [[scale, -scale / 2, 0.0]]) == pytest.approx(expected)
    assert steps(algorithm, [0.5], [[0.0]]) == [0.5]


def test_the_learning_rate_follows_the_epoch():
    algorithm = parse_algorithm({"update": {"learning_rate": [[0, 1.0], [2, 0.5]]}}, "x")
    assert [steps(algorithm, [0.0], [[1.0]], epoch)[0] for epoch in (0, 1, 2)] == [-1.0, -1.0, -0.5]


def test_stored_weights_of_few_bits_are_rounded_to_them():
    table = {"stored_weights": {"exponent_bits": 6, "mantissa_bits": 2}, "update": {"learning_rate": 0.5}}
    assert steps(parse_algorithm(table, "x"), [1.0], [[0.1]]) == [1.0]  # 0.95 is nearest to 1
    assert steps(parse_algorithm(table, "x"), [1.0], [[0.5]]) == [0.75]


def test_without_a_file_it_is_plain_sgd():
    assert steps(Algorithm(), [1.0], [[1.0]]) == pytest.approx([0.99])
