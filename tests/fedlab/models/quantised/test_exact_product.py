"""The product of int8 matrices is the one of whole numbers, by whichever kernel computes it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.models.quantised import exact_product as module
from fedlab.models.quantised.exact_product import (
    MOST_TERMS,
    by_float_kernel,
    by_int_kernel,
    by_padded_int_kernel,
    exact_product,
    int_kernel_is_faster,
    rounded_product,
)

KERNELS = pytest.mark.parametrize("kernel", [by_float_kernel, by_int_kernel, by_padded_int_kernel, exact_product])


def integers(rows, columns, seed, *, largest=False):
    """Return int8 numbers; the largest ones alone, with signs that let sums grow, if asked for."""
    draws = np.random.default_rng(seed)
    drawn = np.full((rows, columns), 127) if largest else draws.integers(-127, 128, (rows, columns))
    return torch.from_numpy(drawn.astype(np.int8))


def expected(left, right):
    return left.numpy().astype(np.int64) @ right.numpy().astype(np.int64)


@KERNELS
@given(
    rows=st.integers(0, 40),
    terms=st.integers(1, 60),
    columns=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=40)
def test_a_product_of_any_shape_is_that_of_whole_numbers(kernel, rows, terms, columns, seed):
    left, right = integers(rows, terms, seed), integers(terms, columns, seed + 1)

    found = kernel(left, right)

    assert found.dtype == torch.int32
    np.testing.assert_array_equal(found.numpy(), expected(left, right))


def laid_out(matrix, layout):
    """Return the same numbers with other strides."""
    rows, columns = matrix.shape
    if layout == "transposed":
        return matrix.t().contiguous().t()
    if layout == "every other":
        return matrix.repeat_interleave(2, 1)[:, ::2]
    if layout == "a part":
        return torch.nn.functional.pad(matrix, (3, 2, 1, 4))[1 : rows + 1, 3 : columns + 3]
    if layout == "strides of 1":  # which a view has where a dimension is 1
        return matrix.contiguous().as_strided((rows, columns), (1, 1) if 1 in matrix.shape else matrix.stride())
    return matrix


LAYOUTS = st.sampled_from(["as it is", "transposed", "every other", "a part", "strides of 1"])
SIZES = st.sampled_from([1, 2, 3, 7, 8, 16, 17, 33])


@KERNELS
@given(sizes=st.tuples(SIZES, SIZES, SIZES), layouts=st.tuples(LAYOUTS, LAYOUTS), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=150)
def test_a_product_does_not_depend_on_how_the_matrices_lie_in_memory(kernel, sizes, layouts, seed):
    rows, terms, columns = sizes
    left, right = integers(rows, terms, seed), integers(terms, columns, seed + 1)

    found = kernel(laid_out(left, layouts[0]), laid_out(right, layouts[1]))

    np.testing.assert_array_equal(found.numpy(), expected(left, right))


@KERNELS
@pytest.mark.parametrize("terms", [1039, 1040, 1041, 2080, 4999])
def test_the_largest_sums_are_exact_where_float32_could_not_hold_them(kernel, terms):
    left, right = integers(17, terms, 0, largest=True), integers(terms, 8, 0, largest=True)
    right[:, 1::2] *= -1

    found = kernel(left, right)

    assert int(found.max()) == terms * 127**2
    np.testing.assert_array_equal(found.numpy(), expected(left, right))


@pytest.mark.parametrize("terms", [1039, 1040, 1041, 3000])
def test_sums_of_odd_numbers_that_float32_would_round_are_exact(terms):
    left, right = integers(20, terms, 0, largest=True), integers(terms, 9, 3)
    right[right == 0] = 1

    np.testing.assert_array_equal(by_float_kernel(left, right).numpy(), expected(left, right))


@pytest.mark.parametrize("by_integers", [False, True])
@pytest.mark.parametrize("terms", [7, 1040, 1041, 4999])
def test_a_rounded_product_is_the_exact_one_rounded_once_by_either_kernel(monkeypatch, by_integers, terms):
    monkeypatch.setattr(module, "int_kernel_is_faster", lambda device: by_integers)
    left, right = integers(20, terms, 0, largest=True), integers(terms, 9, 3)

    found = rounded_product(left, right)

    np.testing.assert_array_equal(found.numpy(), expected(left, right).astype(np.float32))


@KERNELS
def test_operands_may_be_views_of_others(kernel):
    left, right = integers(64, 48, 0)[::2, 3:], integers(33, 45, 1).t()

    np.testing.assert_array_equal(kernel(left, right).numpy(), expected(left, right))


def test_the_padded_kernel_is_handed_sizes_that_a_gpu_takes(monkeypatch):
    asked = []
    product = torch._int_mm

    def recorded(left, right):
        asked.append((left.shape, right.shape))
        return product(left, right)

    monkeypatch.setattr(torch, "_int_mm", recorded)
    by_padded_int_kernel(integers(3, 5, 0), integers(5, 7, 1))
    by_padded_int_kernel(integers(18, 16, 0), integers(16, 8, 1))

    assert asked == [((17, 8), (8, 8)), ((18, 16), (16, 8))]


def test_int32_holds_the_longest_sum():
    assert MOST_TERMS * 127**2 <= 2**31 - 1 < (MOST_TERMS + 1) * 127**2


@pytest.mark.parametrize(("int_seconds", "expected_choice"), [(1.0, True), (3.0, False)])
def test_a_processor_takes_the_kernel_that_it_is_faster_at_and_is_asked_once(monkeypatch, int_seconds, expected_choice):
    seconds = {"int": int_seconds, "float": 2.0}
    called, now = [], [0.0]

    def timed(name):
        def kernel(left, right):
            called.append(name)
            now[0] += seconds[name]
            return left

        return kernel

    def watch():
        start = now[0]
        return lambda: now[0] - start

    monkeypatch.setattr(module, "by_int_kernel", timed("int"))
    monkeypatch.setattr(module, "by_float_kernel", timed("float"))
    monkeypatch.setattr(module, "stopwatch", watch)
    int_kernel_is_faster.cache_clear()
    try:
        assert int_kernel_is_faster(torch.device("cpu")) == expected_choice
        tries = len(called)
        assert int_kernel_is_faster(torch.device("cpu")) == expected_choice
    finally:
        int_kernel_is_faster.cache_clear()

    assert len(called) == tries == 8


@pytest.mark.parametrize(("capability", "faster"), [((7, 0), False), ((7, 5), True), ((9, 0), True)])
def test_a_gpu_is_chosen_for_by_its_capability(monkeypatch, capability, faster):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    int_kernel_is_faster.cache_clear()
    try:
        assert int_kernel_is_faster(torch.device("cuda:0")) == faster
    finally:
        int_kernel_is_faster.cache_clear()
