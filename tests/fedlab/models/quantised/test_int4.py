"""int4 matrices: how far they are off, what they take, and the gradient of what is multiplied."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedlab.models.quantised.int4 import GROUP, Int4Matrix

NUMBERS = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=NUMBERS)


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32))


def scales_of_columns(matrix, columns):
    return matrix.scales.double().repeat_interleave(GROUP, dim=1)[:, :columns]


@given(MATRICES)
@settings(deadline=None)
def test_a_number_is_off_by_at_most_half_the_scale_of_its_group(numbers):
    columns = numbers.shape[1]
    matrix = Int4Matrix.of(torch.from_numpy(numbers))

    back = matrix.dequantised().double()[:, :columns]

    bound = scales_of_columns(matrix, columns).numpy() * (0.5 + 1e-4)
    assert (np.abs(back.numpy() - numbers) <= bound + 1e-36).all()


@pytest.mark.parametrize("columns", [1, 127, 128, 129, 300, 577])
def test_groups_of_128_columns_have_scales_of_their_own(columns):
    numbers = drawn(3, columns)
    numbers[:, GROUP:] *= 1000

    matrix = Int4Matrix.of(numbers)

    largest = torch.stack([group.abs().amax(1) for group in torch.split(numbers, GROUP, 1)], 1)
    assert matrix.scales.dtype == torch.bfloat16
    torch.testing.assert_close(matrix.scales.float(), largest / 7, rtol=2.0**-8, atol=0)
    error = (matrix.dequantised()[:, :columns] - numbers).abs()
    assert (error <= scales_of_columns(matrix, columns) * 0.5001).all()


def test_two_numbers_share_a_byte_the_even_column_in_its_lower_half():
    matrix = Int4Matrix.of(torch.tensor([[7.0, -7.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))

    assert matrix.packed.tolist() == [[15 | 1 << 4, 9 | 8 << 4], [8 | 8 << 4] * 2]
    assert matrix.dequantised().tolist() == [[7.0, -7.0, 1.0, 0.0], [0.0] * 4]


def test_behind_an_odd_number_of_columns_there_is_a_zero():
    matrix = Int4Matrix.of(torch.tensor([[3.5, -7.0, 7.0]]))

    assert matrix.dequantised().tolist() == [[4.0, -7.0, 7.0, 0.0]]
    assert matrix.product(torch.tensor([[1.0, 1.0, 2.0]])).tolist() == [[11.0]]


def test_it_takes_half_a_byte_a_number_and_two_bytes_a_group():
    matrix = Int4Matrix.of(drawn(5, 3 * GROUP))

    sizes = {name: part.numel() * part.element_size() for name, part in matrix.parts.items()}

    assert sizes == {"packed": 5 * 3 * GROUP // 2, "scales": 5 * 3 * 2}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [5, 64, 131])
def test_products_and_gradients_are_those_of_the_dequantised_matrix_in_the_type_of_the_states(dtype, columns):
    matrix = Int4Matrix.of(drawn(6, columns))
    dense = matrix.dequantised()[:, :columns].to(dtype)
    states, upstream = drawn(2, 3, columns, seed=1).to(dtype), drawn(2, 3, 6, seed=2).to(dtype)
    ours, theirs = states.clone().requires_grad_(), states.clone().requires_grad_()

    found, right = matrix.product(ours), torch.nn.functional.linear(theirs, dense)
    found.backward(upstream)
    right.backward(upstream)

    assert found.dtype == ours.grad.dtype == dtype
    torch.testing.assert_close(found, right)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_dequantised_matrix_is_not_kept_for_the_way_back():
    matrix, states = Int4Matrix.of(drawn(4, 8)), drawn(5, 8).requires_grad_()

    kept = matrix.product(states).grad_fn.saved_tensors

    assert {each.data_ptr() for each in kept} == {matrix.packed.data_ptr(), matrix.scales.data_ptr()}


def test_some_rows_of_a_matrix_are_a_matrix():
    matrix, states = Int4Matrix.of(drawn(6, 8)), drawn(5, 8)

    torch.testing.assert_close(matrix[2:5].product(states), matrix.product(states)[:, 2:5])
