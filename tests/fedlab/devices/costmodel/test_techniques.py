"""The four techniques as they are billed: each has a rule that can be checked by hand, and none makes work cheaper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.devices.costmodel.conv_operators import ConvOperator
from fedlab.devices.costmodel.techniques import Subgraph, largest_part, rescaled_bytes, to_prepare, working_set_bytes
from fedlab.errors import UserError

CONV = ConvOperator(layer=0, name="conv", phase="forward", operations=1e6, read=100, written=50, weights=200)


def test_a_result_takes_9_bytes_where_its_shift_is_computed_and_1_where_it_is_known():
    assert rescaled_bytes(adaptive=False) == 9
    assert rescaled_bytes(adaptive=True, recomputed_share=0) == 1
    assert rescaled_bytes(adaptive=True, recomputed_share=0.25) == 3


def test_a_share_above_1_is_refused():
    with pytest.raises(UserError, match=r"recomputed_share is 1\.5, expected a share from 0 to 1"):
        rescaled_bytes(adaptive=True, recomputed_share=1.5)


def test_a_working_set_is_input_output_and_weights_with_int32_results_while_the_shift_is_unknown():
    assert working_set_bytes(CONV, 3, shift_known=True) == 3 * 150 + 200
    assert working_set_bytes(CONV, 3, shift_known=False) == 3 * (100 + 4 * 50) + 200


def test_the_largest_part_is_the_last_one_that_fits():
    assert largest_part(CONV, 64, 200 + 4 * 150, shift_known=True) == 4
    assert largest_part(CONV, 64, 200 + 5 * 150 - 1, shift_known=True) == 4
    assert largest_part(CONV, 3, 1e9, shift_known=True) == 3
    assert largest_part(CONV, 64, 349, shift_known=True) == 0


sizes = st.integers(1, 10_000)


@given(read=sizes, written=sizes, weights=st.integers(0, 10_000), batch=sizes, memory=sizes, known=st.booleans())
def test_a_part_fits_and_the_next_larger_one_does_not(read, written, weights, batch, memory, known):
    operator = ConvOperator(layer=0, name="any", phase="forward", read=read, written=written, weights=weights)
    part = largest_part(operator, batch, memory, shift_known=known)
    assert 0 <= part <= batch
    if part:
        assert working_set_bytes(operator, part, shift_known=known) <= memory
    if part < batch:
        assert working_set_bytes(operator, part + 1, shift_known=known) > memory


def graphs(*sizes_of: tuple[str, float]) -> list[Subgraph]:
    return [Subgraph(name=name, weights=1, num_bytes=size) for name, size in sizes_of]


def names(found: list[Subgraph]) -> list[str]:
    return [each.name for each in found]


def test_without_reuse_each_subgraph_is_prepared_once_a_batch():
    assert names(to_prepare(graphs(("a", 1), ("b", 1), ("a", 1)), 1e9, reuse=False)) == ["a", "b"]


def test_with_reuse_and_enough_memory_nothing_is_prepared_again():
    assert to_prepare(graphs(("a", 1), ("b", 1), ("c", 1)), 3, reuse=True) == []


def test_a_cycle_that_is_larger_than_the_memory_is_prepared_all_over_again():
    assert names(to_prepare(graphs(("a", 1), ("b", 1), ("c", 1)), 2, reuse=True)) == ["a", "b", "c"]


def test_a_subgraph_that_was_used_just_before_is_still_kept():
    assert names(to_prepare(graphs(("a", 1), ("b", 1), ("b", 1), ("c", 1)), 2, reuse=True)) == ["a", "b", "c"]


@given(accesses=st.lists(st.sampled_from("abcde"), min_size=1, max_size=20), memory=st.integers(1, 10))
def test_more_memory_never_prepares_more(accesses, memory):
    used = graphs(*((name, 1 + ord(name) - ord("a")) for name in accesses))
    assert len(to_prepare(used, memory + 1, reuse=True)) <= len(to_prepare(used, memory, reuse=True))
