"""What a planned client does is what the real one reports: batches, and which of them start from the cache."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.estimate.experiment.work import PlannedWork
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.training.device_cache import ActivationCache
from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

CONFIG = Bottleneck(depth=2, width=8)
KEYS = {"batch_size": 4, "cached_depths": 1, "input_shape": (64,), "model_blocks": 12}


def work(method="adapter", num_examples=14, *, filled=False, **changes):
    keys = KEYS | {"epochs": 1, "max_batches": None} | changes
    cache = ActivationCache(depth=CONFIG.depth, filled_batches=-(-num_examples // 4)) if filled else None
    done, _ = PlannedWork(**keys).workload(method, CONFIG, num_examples, cache)
    return done.batches, done.cached_batches


def test_the_first_pass_fills_the_cache_and_later_ones_start_from_it():
    assert work() == (4, 0)
    assert work(filled=True) == (4, 4)
    assert work(epochs=3) == (12, 8)
    assert work(epochs=3, filled=True) == (12, 12)


def test_epochs_are_cut_short():
    assert work(epochs=3, max_batches=10) == (10, 6)
    assert work(epochs=3, max_batches=3) == (3, 0)


def test_only_adapters_with_a_cache_start_from_it():
    assert work(filled=True, cached_depths=0) == (4, 0)
    assert work("full", filled=True) == work("freeze", filled=True) == (4, 0)


def test_an_evaluation_runs_every_block_of_every_text_once():
    plan = PlannedWork(epochs=3, max_batches=2, **KEYS)
    passes = forward_passes(batches=4, batch_size=4, input_shape=(64,), model_blocks=12)
    assert plan.evaluation(14) == Workload(passes=passes, num_examples=14)
    assert plan.prefill(3, 14) == (plan.evaluation(14), ActivationCache(depth=3, filled_batches=4))


@pytest.mark.parametrize(("method", "trained"), [("adapter", bottleneck(8)), ("freeze", WHOLE), ("full", WHOLE)])
def test_the_passes_are_those_of_the_real_client(method, trained):
    done, _ = PlannedWork(epochs=1, max_batches=None, **KEYS).workload(method, CONFIG, 14, None)
    passes = training_passes(batches=4, batch_size=4, input_shape=(64,), model_blocks=12, depth=2, trained=trained)
    assert done == Workload(passes=passes, num_examples=14)


def test_checkpointing_is_planned_as_it_is_billed():
    done, _ = PlannedWork(epochs=1, max_batches=None, checkpointing=True, **KEYS).workload("adapter", CONFIG, 14, None)
    assert [each.checkpointing for each in done.passes] == [False, True]


def test_a_plan_is_for_a_processor_which_fills_the_cache_as_well():
    plan = PlannedWork(epochs=1, max_batches=None, processor="npu", **KEYS)
    done, _ = plan.workload("adapter", CONFIG, 14, None)
    assert [each.processor for each in done.passes] == ["npu", "npu"]
    filled, _ = plan.prefill(2, 14)
    assert [each.processor for each in filled.passes] == ["npu"]


def test_a_plan_is_in_a_format():
    plan = PlannedWork(epochs=1, max_batches=None, format="bf16", **KEYS)
    done, _ = plan.workload("adapter", CONFIG, 14, None)
    assert [each.format for each in (*done.passes, *plan.evaluation(14).passes)] == ["bf16"] * 3


def test_a_decoder_with_a_head_of_labels_has_no_logits_of_tokens():
    plan = PlannedWork(epochs=1, max_batches=None, scored_tokens=0, **KEYS)
    done, _ = plan.workload("adapter", CONFIG, 14, None)
    assert [each.scored_tokens for each in (*done.passes, *plan.evaluation(14).passes)] == [0, 0, 0]


@given(st.integers(1, 500), st.integers(1, 5), st.one_of(st.none(), st.integers(1, 100)), st.booleans())
def test_cached_batches_are_some_of_the_batches(num_examples, epochs, max_batches, filled):
    batches, cached = work(num_examples=num_examples, epochs=epochs, max_batches=max_batches, filled=filled)
    assert 0 <= cached <= batches <= (max_batches or batches)
    assert batches >= 1


@pytest.mark.parametrize(("num_examples", "batches"), [(1, 1), (4, 1), (5, 2), (116, 29)])
def test_the_last_batch_may_be_short(num_examples, batches):
    assert work(num_examples=num_examples)[0] == batches
