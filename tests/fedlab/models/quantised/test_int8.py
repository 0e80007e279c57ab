"""int8 matrices: how far they are off, that rows are independent, and the gradient of what is multiplied."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedlab.errors import UserError
from fedlab.models.quantised import exact_product as module
from fedlab.models.quantised.exact_product import MOST_TERMS
from fedlab.models.quantised.int8 import Int8Matrix, quantised_rows

NUMBERS = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=NUMBERS)
SHAPES = pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 33), (40, 24), (64, 1300)])


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32))


@given(MATRICES)
@settings(deadline=None)
def test_a_number_is_off_by_at_most_half_the_scale_of_its_row(matrix):
    values, scales = quantised_rows(torch.from_numpy(matrix))

    back = values.double() * scales.double()

    largest = np.abs(matrix).max(1, keepdims=True)
    np.testing.assert_allclose(scales.numpy(), largest / 127, rtol=1e-6, atol=1e-44)
    assert np.abs(values.numpy().astype(int)).max() <= 127
    assert (np.abs(back.numpy() - matrix) <= largest / 127 * (0.5 + 1e-4) + 1e-44).all()


@given(MATRICES)
@settings(deadline=None)
def test_quantising_what_was_quantised_changes_nothing(matrix):
    once = Int8Matrix.of(torch.from_numpy(matrix))

    assert torch.equal(Int8Matrix.of(once.dequantised()).values, once.values)


def test_a_row_has_its_own_scale_and_a_row_of_zeros_stays_zero():
    values, scales = quantised_rows(torch.tensor([[0.0, 0.0], [127.0, -1.0], [-0.5, 0.25]]))

    assert values.tolist() == [[0, 0], [127, -1], [-127, 64]]  # 63.5 is rounded to the even neighbour
    assert scales.flatten().tolist() == pytest.approx([0.0, 1.0, 0.5 / 127])


@pytest.mark.parametrize("wrong", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_are_not_finite_are_not_hidden(wrong):
    states = drawn(3, 4)
    states[1, 2] = wrong

    found = Int8Matrix.of(drawn(5, 4, seed=1)).product(states)

    assert not found[1].isfinite().any()
    assert found[[0, 2]].isfinite().all()


@SHAPES
def test_a_product_is_that_of_the_quantised_numbers(shape):
    rows, columns = shape
    states, matrix = drawn(rows, columns), Int8Matrix.of(drawn(9, columns, seed=1))
    values, scales = quantised_rows(states)

    dense = matrix.values.double() * matrix.scales.double()[:, None]
    exact = (values.double() * scales.double()) @ dense.t()

    torch.testing.assert_close(matrix.product(states).double(), exact, rtol=1e-6, atol=1e-6)


@SHAPES
def test_a_row_gives_the_same_bits_alone_and_among_others(shape):
    rows, columns = shape
    states, matrix = drawn(rows, columns), Int8Matrix.of(drawn(9, columns, seed=1))

    together = matrix.product(states)

    assert all(torch.equal(matrix.product(states[row : row + 1])[0], together[row]) for row in range(rows))


@pytest.mark.parametrize("shape", [(2, 3, 40), (7, 40), (40,)])
def test_states_may_have_any_dimensions_in_front(shape):
    matrix, states = Int8Matrix.of(drawn(6, 40)), drawn(*shape, seed=1)

    found = matrix.product(states)

    assert found.shape == (*shape[:-1], 6)
    assert torch.equal(found.view(-1, 6), matrix.product(states.reshape(-1, 40)))


@SHAPES
def test_the_kernel_changes_no_bit_of_a_product_or_of_a_gradient(monkeypatch, shape):
    rows, columns = shape
    matrix, upstream = Int8Matrix.of(drawn(11, columns)), drawn(rows, 11, seed=2)

    def both(by_integers):
        monkeypatch.setattr(module, "int_kernel_is_faster", lambda device: by_integers)
        states = drawn(rows, columns, seed=1).requires_grad_()
        found = matrix.product(states)
        found.backward(upstream)
        return found.detach(), states.grad

    assert all(torch.equal(one, other) for one, other in zip(both(False), both(True), strict=True))


@given(rows=st.integers(1, 20), inputs=st.integers(1, 30), outputs=st.integers(1, 30), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_the_gradient_is_that_of_floats_but_for_half_a_scale_an_output(rows, inputs, outputs, seed):
    """SwitchBack: the gradient of the input is another int8 product, whose rounding this bounds."""
    matrix = Int8Matrix.of(drawn(outputs, inputs, seed=seed))
    states, upstream = drawn(rows, inputs, seed=seed + 1).requires_grad_(), drawn(rows, outputs, seed=seed + 2)

    matrix.product(states).backward(upstream)

    by_floats = upstream.double() @ matrix.dequantised().double()
    scaled = upstream.double() * matrix.scales.double()
    half = scaled.abs().amax(1, keepdim=True) / 127 / 2
    bound = half * matrix.values.double().abs().sum(0)  # [R, I]
    assert ((states.grad.double() - by_floats).abs() <= bound * (1 + 1e-4) + 1e-6).all()


def test_the_gradient_is_near_that_of_the_published_weight():
    weight, upstream = drawn(384, 384), drawn(64, 384, seed=1)
    states = drawn(64, 384, seed=2).requires_grad_()

    Int8Matrix.of(weight).product(states).backward(upstream)

    right = upstream @ weight
    assert ((states.grad - right).norm() / right.norm()) < 0.02


def test_the_matrix_itself_has_no_gradient_and_keeps_no_states():
    matrix, states = Int8Matrix.of(drawn(4, 8)), drawn(5, 8).requires_grad_()

    found = matrix.product(states)

    kept = found.grad_fn.saved_tensors
    assert {each.data_ptr() for each in kept} == {matrix.values.data_ptr(), matrix.scales.data_ptr()}
    found.sum().backward()
    assert matrix.values.grad is None
    assert matrix.scales.grad is None


def test_some_rows_of_a_matrix_are_a_matrix_that_shares_its_memory():
    matrix, states = Int8Matrix.of(drawn(6, 8)), drawn(5, 8)

    part = matrix[2:5]

    assert len(part) == 3
    assert part.values.data_ptr() == matrix.values[2:].data_ptr()
    assert torch.equal(part.product(states), matrix.product(states)[:, 2:5])


def test_a_matrix_whose_sums_int32_cannot_hold_is_refused():
    outline = torch.empty(2, MOST_TERMS + 1, device="meta")

    with pytest.raises(UserError) as refused:
        Int8Matrix.of(outline)

    assert str(refused.value) == (
        f"backbone.precision = 'int8': a matrix of 2 x {MOST_TERMS + 1}, accepted: up to {MOST_TERMS} each way"
    )
