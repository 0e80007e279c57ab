"""A workload is passes: those of training in pairs, from stored activations or not, and counts that are theirs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.workload.passes import NOTHING, WHOLE, Pass, bottleneck
from fedlab.workload.workload import Step, Workload, forward_passes, steps_of, training_passes

BATCH = {"batch_size": 4, "input_shape": (64,)}
FORWARD = Pass(kind="forward", count=3, blocks=range(12), **BATCH)
BACKWARD = Pass(kind="backward", count=3, blocks=range(10, 12), trained=WHOLE, **BATCH)


def test_a_step_of_training_runs_every_block_and_goes_back_through_the_top_ones():
    passes = training_passes(batches=3, model_blocks=12, depth=2, trained=WHOLE, **BATCH)
    assert passes == (FORWARD, BACKWARD)


def test_a_cached_step_starts_at_the_lowest_trained_block_and_comes_after_the_others():
    passes = training_passes(
        batches=10, cached_batches=7, model_blocks=12, depth=2, trained=bottleneck(8), processor="gpu", **BATCH
    )
    assert [(each.kind, each.count, each.blocks, each.cached) for each in passes] == [
        ("forward", 3, range(12), False),
        ("backward", 3, range(10, 12), False),
        ("forward", 7, range(10, 12), True),
        ("backward", 7, range(10, 12), False),
    ]
    assert {each.processor for each in passes} == {"gpu"}
    assert [each.trained for each in passes] == [NOTHING, bottleneck(8)] * 2


def test_passes_of_no_batch_are_left_out():
    fully_cached = training_passes(
        batches=5, cached_batches=5, model_blocks=12, depth=0, trained=bottleneck(8), **BATCH
    )
    assert [each.count for each in fully_cached] == [5, 5]
    assert len(fully_cached[0].blocks) == 0
    assert training_passes(batches=0, model_blocks=12, depth=1, trained=WHOLE, **BATCH) == ()
    assert forward_passes(batches=0, model_blocks=12, **BATCH) == ()


def test_more_cached_batches_than_batches_or_more_depth_than_blocks_are_refused():
    with pytest.raises(UserError, match="count is -1"):
        training_passes(batches=4, cached_batches=5, model_blocks=12, depth=2, trained=WHOLE, **BATCH)
    with pytest.raises(UserError, match=r"blocks is range\(-1, 12\)"):
        training_passes(batches=4, model_blocks=12, depth=13, trained=WHOLE, **BATCH)


def test_a_backward_pass_belongs_to_the_forward_pass_right_before_it():
    alone = replace(FORWARD, count=5)
    assert steps_of((alone, FORWARD, BACKWARD, alone)) == (
        Step(forward=alone),
        Step(forward=FORWARD, backward=BACKWARD),
        Step(forward=alone),
    )


@pytest.mark.parametrize(
    "passes",
    [
        (BACKWARD,),
        (BACKWARD, FORWARD),
        (FORWARD, BACKWARD, BACKWARD),
        (FORWARD, replace(FORWARD, count=4), BACKWARD),
        (replace(FORWARD, batch_size=8), BACKWARD),
        (replace(FORWARD, input_shape=(32,)), BACKWARD),
        (replace(FORWARD, format="bf16"), BACKWARD),
        (replace(FORWARD, processor="gpu"), BACKWARD),
        (replace(FORWARD, blocks=range(11)), BACKWARD),
        (replace(FORWARD, blocks=range(11, 12), cached=True), BACKWARD),
    ],
)
def test_a_backward_pass_without_its_forward_pass_is_refused(passes):
    with pytest.raises(UserError, match="a backward pass without its forward pass"):
        Workload(passes=passes, num_examples=12)


def test_counts_are_those_of_the_passes():
    trained = training_passes(batches=10, cached_batches=7, model_blocks=12, depth=2, trained=bottleneck(8), **BATCH)
    looked = forward_passes(batches=2, model_blocks=12, **BATCH)
    workload = Workload(passes=trained + looked, num_examples=40)
    assert (workload.batches, workload.cached_batches, workload.trained_blocks) == (12, 7, 2)
    assert not workload.forward_only
    assert Workload(passes=looked, num_examples=8).forward_only
    nothing = Workload(passes=(), num_examples=1)
    assert (nothing.batches, nothing.trained_blocks, nothing.forward_only) == (0, 0, False)


@pytest.mark.parametrize(
    ("passes", "num_examples", "problem"),
    [
        ([FORWARD], 1, "passes is not a tuple of Pass"),
        ((vars(FORWARD),), 1, "passes is not a tuple of Pass"),
        ((FORWARD,) * 1001, 1, "has 1001 passes, expected at most 1000"),
        ((FORWARD,), -1, "num_examples is -1"),
        ((FORWARD,), 1.0, "num_examples is 1.0"),
        ((FORWARD,), True, "num_examples is True"),
    ],
)
def test_a_workload_is_passes_and_a_number_of_examples(passes, num_examples, problem):
    with pytest.raises(UserError, match=problem):
        Workload(passes=passes, num_examples=num_examples)


@given(st.integers(1, 30), st.data())
def test_training_any_depth_is_a_workload_of_its_batches(blocks, data):
    batches, depth = data.draw(st.integers(0, 50)), data.draw(st.integers(0, blocks))
    cached = data.draw(st.integers(0, batches))
    passes = training_passes(
        batches=batches, cached_batches=cached, model_blocks=blocks, depth=depth, trained=bottleneck(8), **BATCH
    )
    workload = Workload(passes=passes, num_examples=1)
    assert (workload.batches, workload.cached_batches) == (batches, cached)
    assert workload.trained_blocks == (depth if batches else 0)
